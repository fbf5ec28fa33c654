import keras
import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from mnist_flow import CONF_DIR
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError
from mnist_flow.models import build_model
from support import MNIST


def build(*overrides: str) -> keras.Model:
    """The model of a composed config."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        config = validate_config(compose("config", [*overrides]), TrainConfig)
    return build_model(config.model, MNIST, config.reg)


def regularized(model: keras.Model) -> dict[str, float]:
    """The L2 weight of each layer that has one."""
    regularizers = {layer.name: getattr(layer, "kernel_regularizer", None) for layer in model.layers}
    return {name: float(penalty.l2) for name, penalty in regularizers.items() if penalty}


def compute_penalty_of_halves(model: keras.Model) -> float:
    """The L2 penalty where every weight is 0.5."""
    model.set_weights([np.full_like(weights, 0.5) for weights in model.get_weights()])
    return float(sum(np.asarray(penalty) for penalty in model.losses))


@pytest.mark.parametrize(
    ("name", "hidden_units", "parameters"),
    [
        ("mlp_64_64", [64, 64], 55_050),
        ("mlp_100", [100], 79_510),
        ("mlp_125_100_50", [125, 100, 50], 116_285),
        ("mlp_500_300", [500, 300], 545_810),
        ("mlp_1000", [1000], 795_010),
    ],
)
def test_presets(name, hidden_units, parameters):
    model = build(f"model={name}")
    names = [f"dense_{number}" for number in range(1, len(hidden_units) + 1)]
    assert model.name == name
    assert [layer.name for layer in model.layers] == ["flatten", *names, "probabilities"]
    assert [layer.units for layer in model.layers[1:]] == [*hidden_units, 10]
    assert [layer.activation.__name__ for layer in model.layers[1:]] == ["relu"] * len(hidden_units) + ["softmax"]
    assert model.count_params() == parameters
    assert regularized(model) == {}


@pytest.mark.parametrize(
    ("width", "parameters"),
    [
        (10, 7_960),
        (25, 19_885),
        (50, 39_760),
        (100, 79_510),
        (150, 119_260),
        (250, 198_760),
        (500, 397_510),
        (750, 596_260),
        (1000, 795_010),
    ],
)
def test_widths_of_report_000_2c(width, parameters):
    assert build("model=mlp", f"model.hidden_units=[{width}]").count_params() == parameters


def test_without_hidden_layers_it_is_a_softmax_regression():
    assert build("model=mlp", "model.hidden_units=[]").count_params() == 7_850


def test_outputs_are_probabilities():
    keras.utils.set_random_seed(0)
    model = build("model=mlp_64_64")
    images = np.random.default_rng(0).random((5, 28, 28, 1), dtype=np.float32)
    probabilities = np.asarray(model(images))
    assert model.input_shape == (None, 28, 28, 1)
    assert (probabilities.shape, probabilities.dtype) == ((5, 10), np.float32)
    assert probabilities.min() > 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.ptp(probabilities, axis=0).min() > 0  # the image counts


def test_output_of_known_weights():
    model = build("model=mlp", "model.hidden_units=[2]")
    hidden, output = model.get_layer("dense_1"), model.get_layer("probabilities")
    # The sum of the pixels, which is 3, and its negative, which ReLU cuts off.
    hidden.set_weights([np.stack([np.ones(784), -np.ones(784)], axis=1), np.zeros(2)])
    # Softmax of ln(1 + digit): probabilities proportional to 1 … 10.
    output.set_weights([np.stack([np.log(np.arange(1, 11)) / 3, np.full(10, 9.0)]), np.zeros(10)])
    image = np.zeros((1, 28, 28, 1), np.float32)
    image[0, [0, 13, 27], [27, 5, 0]] = 1
    np.testing.assert_allclose(np.asarray(model(image))[0], np.arange(1, 11) / 55, rtol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "layers", "penalty"),
    [
        # 0.25·λ times the number of weights in the penalised kernels
        (["model=mlp_100", "reg=0.001"], {"dense_1": 0.001}, 19.6),
        (["model=mlp_500_300", "reg=1e-5"], {"dense_1": 1e-5, "dense_2": 1e-5}, 1.355),
        (["model=mlp_64_64", "reg=0.01"], {"dense_1": 0.01, "dense_2": 0.01}, 135.68),
        (["model=mlp_64_64", "reg=0.01", "model.regularized_layers=[dense_2]"], {"dense_2": 0.01}, 10.24),
        (["model=mlp_64_64", "reg=0.01", "model.regularized_layers=[]"], {}, 0.0),
        (["model=mlp_64_64", "reg=0"], {}, 0.0),
    ],
)
def test_l2_penalty_is_on_hidden_kernels_only(overrides, layers, penalty):
    model = build(*overrides)
    assert regularized(model) == pytest.approx(layers)
    assert compute_penalty_of_halves(model) == pytest.approx(penalty, rel=1e-5)


def test_activation():
    model = build("model=mlp_64_64", "model.activation=tanh")
    assert [layer.activation.__name__ for layer in model.layers[1:]] == ["tanh", "tanh", "softmax"]


def test_batch_normalization_and_dropout_follow_each_hidden_layer():
    model = build("model=mlp_64_64", "model.batch_normalization=true", "model.dropout=0.3")
    assert [layer.name for layer in model.layers] == [
        "flatten",
        *("dense_1", "dense_batch_norm_1", "dense_dropout_1"),
        *("dense_2", "dense_batch_norm_2", "dense_dropout_2"),
        "probabilities",
    ]
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.3, 0.3]
    assert sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers) == 2


def test_gaussian_noise_is_on_the_input_and_behind_each_hidden_layer():
    model = build("model=mlp_64_64", "model.batch_normalization=true", "model.dropout=0.3", "model.gaussian_noise=0.2")
    assert [layer.name for layer in model.layers] == [
        *("flatten", "dense_noise_0"),
        *("dense_1", "dense_batch_norm_1", "dense_noise_1", "dense_dropout_1"),
        *("dense_2", "dense_batch_norm_2", "dense_noise_2", "dense_dropout_2"),
        "probabilities",
    ]
    assert not any("noise" in layer.name for layer in build("model=mlp_64_64").layers)


def test_gaussian_noise_is_added_in_training_only():
    model = build("model=mlp_100", "model.gaussian_noise=0.2")
    images = np.full((500, 28, 28, 1), 0.5, np.float32)
    layer = model.get_layer("dense_noise_0")
    noisy = np.asarray(layer(images, training=True)) - images
    assert noisy.mean() == pytest.approx(0, abs=0.001)
    assert noisy.std() == pytest.approx(0.2, rel=0.01)
    assert np.array_equal(np.asarray(layer(images)), images)


@pytest.mark.parametrize("deviation", ["0", "1", "-0.1", "much"])
def test_gaussian_noise_has_a_standard_deviation_above_0_and_below_1(deviation):
    with pytest.raises(ConfigError, match=r"model\.gaussian_noise"):
        build("model=mlp_100", f"model.gaussian_noise={deviation}")


def test_dropout_drops_its_share_in_training_only():
    keras.utils.set_random_seed(0)
    dropout = build("model=mlp_1000", "model.dropout=0.3").get_layer("dense_dropout_1")
    ones = np.ones((10, 1000), np.float32)
    np.testing.assert_array_equal(dropout(ones, training=False), ones)
    # Four standard deviations of a share of 10,000.
    assert np.mean(np.asarray(dropout(ones, training=True)) == 0) == pytest.approx(0.3, abs=0.018)


def test_weights_depend_on_the_seed():
    kernels = []
    for seed in (0, 0, 1):
        keras.utils.set_random_seed(seed)
        kernels.append(build("model=mlp_100").get_layer("dense_1").get_weights()[0])
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.any(kernels[0] != kernels[2])


@pytest.fixture
def half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("half_precision")
def test_probabilities_are_float32_in_half_precision_too():
    model = build("model=mlp_64_64")
    assert [layer.compute_dtype for layer in model.layers] == ["bfloat16", "bfloat16", "bfloat16", "float32"]
    probabilities = np.asarray(model(np.ones((1, 28, 28, 1), np.float32)))
    assert probabilities.dtype == np.float32
    assert probabilities.sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "variance"), [("null", 2 / (784 + 500)), ("he_normal", 2 / 784), ("lecun_normal", 1 / 784)]
)
def test_first_weights(name, variance):
    model = build("model=mlp_500_300", f"model.kernel_initializer={name}")
    assert np.var(model.get_layer("dense_1").get_weights()[0]) == pytest.approx(variance, rel=0.02)


def test_first_weights_that_are_not_known():
    with pytest.raises(ConfigError, match=r"model\.kernel_initializer"):
        build("model=mlp_500_300", "model.kernel_initializer=he")
