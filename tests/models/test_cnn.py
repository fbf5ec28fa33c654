import keras
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from keras import layers

from mnist_flow import CONF_DIR
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError, UserError
from mnist_flow.models import build_model
from mnist_flow.models.cnn import BlockConfig, build_cnn
from support import MNIST

LAYERS = {
    "cnn_45_60": ["conv_1", "pool_1", "conv_2", "pool_2", "flatten", "probabilities"],
    "cnn_20_40": ["conv_1", "pool_1", "conv_2", "pool_2", "flatten", "dense_1", "probabilities"],
    "cnn_32_64_pool2": ["conv_1", "conv_2", "pool_1", "convolution_dropout", "flatten", "dense_1", "probabilities"],
    "cnn_32_64_pool3": ["conv_1", "conv_2", "pool_1", "convolution_dropout", "flatten", "dense_1", "probabilities"],
    "lenet5": [
        *("zero_padding", "conv_1", "pool_1", "conv_2", "pool_2", "flatten"),
        *("dense_1", "dense_dropout_1", "dense_2", "probabilities"),
    ],
    "lenet5_v2": [
        *("conv_1", "conv_2", "block_batch_norm_1", "pool_1"),
        *("conv_3", "conv_4", "block_batch_norm_2", "pool_2", "flatten"),
        *("dense_1", "dense_batch_norm_1", "dense_dropout_1"),
        *("dense_2", "dense_batch_norm_2", "dense_dropout_2"),
        *("dense_3", "dense_batch_norm_3", "dense_dropout_3", "probabilities"),
    ],
}


def build(*overrides: str) -> keras.Model:
    """The model of a composed config."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        config = validate_config(compose("config", [*overrides]), TrainConfig)
    return build_model(config.model, MNIST, config.reg)


def of_kind(model: keras.Model, *kinds: type) -> list[keras.Layer]:
    return [layer for layer in model.layers if isinstance(layer, kinds)]


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    model = build(f"model={name}")
    assert model.name == name
    assert [layer.name for layer in model.layers] == LAYERS[name]
    assert model.input_shape == (None, 28, 28, 1)


@pytest.mark.parametrize(
    ("name", "parameters", "trainable"),
    [
        ("cnn_45_60", 78_340, 78_340),
        ("cnn_20_40", 85_670, 85_670),
        ("cnn_32_64_pool2", 609_354, 609_354),
        ("cnn_32_64_pool3", 1_250_926, 1_250_926),
        ("lenet5", 61_706, 61_706),
        ("lenet5_v2", 276_438, 275_310),
    ],
)
def test_parameters(name, parameters, trainable):
    model = build(f"model={name}")
    assert model.count_params() == parameters
    assert sum(weights.value.numpy().size for weights in model.trainable_weights) == trainable


@pytest.mark.parametrize(
    ("name", "filters", "kernels", "pools", "dense"),
    [
        ("cnn_45_60", [45, 60], [5, 5], [2, 2], [10]),
        ("cnn_20_40", [20, 40], [5, 5], [2, 2], [100, 10]),
        ("cnn_32_64_pool2", [32, 64], [3, 3], [2], [64, 10]),
        ("cnn_32_64_pool3", [32, 64], [3, 3], [3], [300, 10]),
        ("lenet5", [6, 16], [5, 5], [2, 2], [120, 84, 10]),
        ("lenet5_v2", [32, 32, 64, 64], [5, 5, 3, 3], [2, 2], [256, 128, 84, 10]),
    ],
)
def test_sizes(name, filters, kernels, pools, dense):
    model = build(f"model={name}")
    convolutions = of_kind(model, layers.Conv2D)
    assert [layer.filters for layer in convolutions] == filters
    assert [layer.kernel_size for layer in convolutions] == [(size, size) for size in kernels]
    assert {(layer.strides, layer.padding) for layer in convolutions} == {((1, 1), "valid")}
    pooling = of_kind(model, layers.MaxPooling2D, layers.AveragePooling2D)
    assert [(layer.pool_size, layer.strides) for layer in pooling] == [((size, size), (size, size)) for size in pools]
    assert [layer.units for layer in of_kind(model, layers.Dense)] == dense


@pytest.mark.parametrize("name", LAYERS)
def test_pooling_is_average_in_lenet5_and_maximum_elsewhere(name):
    kind, other = layers.MaxPooling2D, layers.AveragePooling2D
    if name == "lenet5":
        kind, other = other, kind
    model = build(f"model={name}")
    assert of_kind(model, kind)
    assert not of_kind(model, other)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("cnn_45_60", {}),
        ("cnn_20_40", {}),
        ("cnn_32_64_pool2", {"convolution_dropout": 0.2}),
        ("cnn_32_64_pool3", {"convolution_dropout": 0.5}),
        ("lenet5", {"dense_dropout_1": 0.5}),
        ("lenet5_v2", {"dense_dropout_1": 0.25, "dense_dropout_2": 0.25, "dense_dropout_3": 0.25}),
    ],
)
def test_dropout(name, rates):
    assert {layer.name: layer.rate for layer in of_kind(build(f"model={name}"), layers.Dropout)} == rates


def test_dropout_within_the_convolutional_part_follows_each_block_before_the_last():
    blocks = "model.blocks=[{filters:[2],kernel_size:3,pool_size:2},{filters:[3],kernel_size:3,pool_size:2}]"
    normalized = ("model.batch_normalization=true", "model.batch_normalization_after=pooling")
    model = build("model=cnn", blocks, *normalized, "model.block_dropout=0.2", "model.convolution_dropout=0.3")
    names = [layer.name for layer in model.layers]
    assert names[1:4] == ["pool_1", "block_batch_norm_1", "block_dropout_1"]
    assert names[5:8] == ["pool_2", "block_batch_norm_2", "convolution_dropout"]
    assert {layer.name: layer.rate for layer in of_kind(model, layers.Dropout)} == {
        "block_dropout_1": 0.2,
        "convolution_dropout": 0.3,
    }


@pytest.mark.parametrize("fraction", [0, 1])
def test_block_dropout_is_above_0_and_below_1(fraction):
    with pytest.raises(ConfigError, match=r"model\.block_dropout"):
        build("model=cnn", f"model.block_dropout={fraction}")


def test_block_dropout_of_a_single_block_is_refused():
    with pytest.raises(
        ConfigError, match=r"model\.block_dropout=0\.2: needs two of model\.blocks; for a single one, type"
    ):
        build("model=cnn", "model.block_dropout=0.2", "model.blocks=[{filters:[2],kernel_size:3,pool_size:2}]")


@pytest.mark.parametrize("name", LAYERS)
def test_batch_normalization_is_in_lenet5_v2_only(name):
    assert len(of_kind(build(f"model={name}"), layers.BatchNormalization)) == (5 if name == "lenet5_v2" else 0)


def test_batch_normalization_after_pooling():
    blocks = "model.blocks=[{filters:[2],kernel_size:3,pool_size:2},{filters:[3,4],kernel_size:3,pool_size:1}]"
    model = build("model=cnn", blocks, "model.batch_normalization=true", "model.batch_normalization_after=pooling")
    assert [layer.name for layer in model.layers] == [
        *("conv_1", "pool_1", "block_batch_norm_1"),
        *("conv_2", "conv_3", "pool_2", "block_batch_norm_2", "flatten"),
        *("dense_1", "dense_batch_norm_1", "probabilities"),
    ]
    with pytest.raises(UserError, match=r"batch_normalization_after=pooling: needs model.batch_normalization=true"):
        build("model=cnn", "model.batch_normalization_after=pooling")


@pytest.mark.parametrize("name", LAYERS)
def test_activations(name):
    model = build(f"model={name}")
    hidden = "sigmoid" if name == "cnn_20_40" else "relu"
    assert {layer.activation.__name__ for layer in of_kind(model, layers.Conv2D)} == {"relu"}
    *dense, output = [layer.activation.__name__ for layer in of_kind(model, layers.Dense)]
    assert set(dense) <= {hidden}
    assert output == "softmax"


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_are_probabilities(name):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).random((3, 28, 28, 1), dtype=np.float32)
    probabilities = np.asarray(build(f"model={name}")(images))
    assert (probabilities.shape, probabilities.dtype) == ((3, 10), np.float32)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.ptp(probabilities, axis=0).max() > 0  # the image counts


@pytest.mark.parametrize(
    ("overrides", "expected", "penalty"),
    [
        # 0.25·λ times the number of weights in the penalised kernels
        (["model=cnn_45_60"], {"conv_1": 1e-3}, 0.28125),
        (["model=cnn_45_60", "reg=0.01"], {"conv_1": 0.01}, 2.8125),
        (["model=lenet5"], {"dense_1": 1e-4, "dense_2": 1e-4}, 1.452),
        (["model=lenet5_v2"], {"dense_3": 0.1}, 268.8),
        (["model=cnn_20_40"], {}, 0.0),
        (["model=cnn_32_64_pool2"], {}, 0.0),
        (["model=cnn_32_64_pool3"], {}, 0.0),
        (["model=cnn", "reg=0.01"], {"conv_1": 0.01, "conv_2": 0.01, "dense_1": 0.01}, 446.8),
        (["model=cnn", "reg=0.01", "model.regularized_layers=[conv_2]"], {"conv_2": 0.01}, 46.08),
    ],
)
def test_l2_penalty(overrides, expected, penalty):
    model = build(*overrides)
    regularizers = {layer.name: getattr(layer, "kernel_regularizer", None) for layer in model.layers}
    assert {name: float(l2.l2) for name, l2 in regularizers.items() if l2} == pytest.approx(expected)
    model.set_weights([np.full_like(weights, 0.5) for weights in model.get_weights()])
    assert float(sum(np.asarray(loss) for loss in model.losses)) == pytest.approx(penalty, rel=1e-5)


def test_zero_padding_surrounds_the_image():
    padded = build("model=lenet5").get_layer("zero_padding")(np.ones((1, 28, 28, 1), np.float32))
    assert padded.shape == (1, 32, 32, 1)
    assert np.sum(padded) == 28 * 28
    assert np.all(np.asarray(padded)[0, 2:-2, 2:-2] == 1)


def test_blocks_are_built_in_their_order():
    model = build_cnn(
        (28, 28, 1),
        10,
        [BlockConfig(filters=[2], kernel_size=3, pool_size=2), BlockConfig(filters=[3, 4], kernel_size=3, pool_size=3)],
        [5],
        [0],
    )
    shapes = [layer.output.shape[1:] for layer in model.layers]
    assert shapes == [
        *((26, 26, 2), (13, 13, 2)),
        *((11, 11, 3), (9, 9, 4), (3, 3, 4)),
        *((36,), (5,), (10,)),
    ]
