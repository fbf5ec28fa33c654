import keras
import mlflow
import numpy as np
import pytest

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.models import build_model
from mnist_flow.models.cvae import build_cvae, read_code_distribution
from mnist_flow.models.prediction import predict
from support import MNIST


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, 28, 28, 1), dtype=np.float32)


@pytest.fixture
def classes():
    return np.eye(10, dtype=np.float32)[[3, 1, 4]]


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return build_cvae((28, 28, 1), 10, [20], 4)


def test_the_configured_model(compose_config):
    model = build_model(validate_config(compose_config("model=cvae"), TrainConfig).model, MNIST)
    assert (model.name, model.count_params()) == ("cvae", 1_049_800)
    assert [one.shape[1:] for one in model.inputs] == [(28, 28, 1), (10,)]
    assert model.output_shape == (None, 28, 28, 1)
    # By these names a summary of the network tells its parts.
    told = [[one.name for one in model.get_layer(half).inputs] for half in ("encoder", "decoder")]
    assert told == [["images", "classes"], ["codes", "classes"]]


def test_the_decoder_mirrors_the_encoder():
    model = build_cvae((28, 28, 1), 10, [200, 50], 7)
    units = [
        [layer.units for layer in model.get_layer(half).layers if isinstance(layer, keras.layers.Dense)]
        for half in ("encoder", "decoder")
    ]
    assert units == [[200, 50, 7, 7], [50, 200, 784]]


def test_without_training_the_code_is_its_mean(model, images, classes):
    mean, _ = model.get_layer("encoder")([images, classes])
    expected = predict(model.get_layer("decoder"), (np.asarray(mean), classes))
    np.testing.assert_allclose(predict(model, (images, classes)), expected, rtol=1e-6)
    assert expected.dtype == np.float32


def test_in_training_the_code_is_drawn_from_its_distribution(model):
    """Of zero weights: the mean is the bias of `mean`, the deviation the exponential of the bias of `log_stddev`."""
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    encoder = model.get_layer("encoder")
    encoder.get_layer("mean").set_weights([np.zeros((20, 4)), np.array([0.0, 1.0, -2.0, 3.0])])
    encoder.get_layer("log_stddev").set_weights([np.zeros((20, 4)), np.log([1.0, 0.5, 2.0, 1e-6])])
    codes = keras.Model(model.inputs, [model.get_layer("code").output, *read_code_distribution(model)])
    n = 4000
    inputs = [np.zeros((n, 28, 28, 1), np.float32), np.zeros((n, 10), np.float32)]
    drawn, mean, log_stddev = (np.asarray(one) for one in codes(inputs, training=True))
    np.testing.assert_allclose(mean[0], [0, 1, -2, 3])
    np.testing.assert_allclose(np.exp(log_stddev[0]), [1, 0.5, 2, 1e-6], rtol=1e-5)
    np.testing.assert_allclose(drawn.mean(axis=0), [0, 1, -2, 3], atol=0.1)
    np.testing.assert_allclose(drawn.std(axis=0), [1, 0.5, 2, 0], atol=0.05)


def test_the_class_counts(model, images, classes):
    decoder, codes = model.get_layer("decoder"), np.zeros((3, 4), np.float32)
    assert np.abs(predict(decoder, (codes, classes)) - predict(decoder, (codes, np.roll(classes, 1, axis=1)))).max() > 0
    assert np.abs(predict(model, (images, classes)) - predict(model, (images, classes[::-1]))).max() > 0


def test_a_saved_model_needs_nothing_of_this_package(model, images, classes, tmp_path):
    """Keras's own layers only, loaded in its safe mode; MLflow takes the inputs by name."""
    example, expected = {"images": images, "classes": classes}, predict(model, (images, classes))
    signature = mlflow.models.infer_signature(example, expected)
    mlflow.tensorflow.save_model(
        model, str(tmp_path / "model"), input_example=example, signature=signature, pip_requirements=["keras"]
    )
    assert b"mnist_flow" not in b"".join(
        file.read_bytes() for file in (tmp_path / "model").rglob("*") if file.suffix != ".json" and file.is_file()
    )
    loaded = mlflow.tensorflow.load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(predict(loaded, (images, classes)), expected)
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    np.testing.assert_allclose(served.predict(example), expected, atol=1e-6)
