import keras
import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from mnist_flow import CONF_DIR
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.models import build_model
from support import MNIST


def build(*overrides: str) -> keras.Model:
    """The model of a composed config."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        config = validate_config(compose("config", ["data=digits", *overrides]), TrainConfig)
    return build_model(config.model, MNIST, config.reg)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).random((3, 28, 28, 1), dtype=np.float32)


@pytest.mark.parametrize(("name", "parameters"), [("autoencoder", 226_416), ("autoencoder_2d", 202_258)])
def test_parameters(name, parameters):
    model = build(f"model={name}")
    assert (model.name, model.count_params()) == (name, parameters)


@pytest.mark.parametrize(
    ("name", "latent_units", "latent_activation"), [("autoencoder", 96, "relu"), ("autoencoder_2d", 2, "linear")]
)
def test_layers(name, latent_units, latent_activation):
    model = build(f"model={name}")
    assert [layer.name for layer in model.layers] == ["images", "encoder", "decoder"]
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    assert [layer.name for layer in encoder.layers] == ["flatten", "encode_1", "code"]
    assert [layer.name for layer in decoder.layers] == ["decode_1", "pixels", "reshape"]
    dense = [layer for layer in (*encoder.layers, *decoder.layers) if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [128, latent_units, 128, 784]
    assert [layer.activation.__name__ for layer in dense] == ["relu", latent_activation, "relu", "sigmoid"]


def test_decoder_mirrors_the_encoder():
    model = build("model=autoencoder", "model.hidden_units=[200,50]", "model.latent_units=7")
    units = [
        [layer.units for layer in model.get_layer(half).layers if isinstance(layer, keras.layers.Dense)]
        for half in ("encoder", "decoder")
    ]
    assert units == [[200, 50, 7], [50, 200, 784]]


@pytest.mark.parametrize("name", ["autoencoder", "autoencoder_2d"])
def test_output_is_an_image(name, images):
    keras.utils.set_random_seed(0)
    output = np.asarray(build(f"model={name}")(images))
    assert (output.shape, output.dtype) == ((3, 28, 28, 1), np.float32)
    assert 0 < output.min() < output.max() < 1


@pytest.mark.parametrize(("name", "latent_units"), [("autoencoder", 96), ("autoencoder_2d", 2)])
def test_encoder_and_decoder_are_its_halves(name, latent_units, images):
    keras.utils.set_random_seed(0)
    model = build(f"model={name}")
    codes = model.get_layer("encoder")(images)
    assert codes.shape == (3, latent_units)
    np.testing.assert_allclose(model.get_layer("decoder")(codes), model(images), rtol=1e-6)


def test_pixels_of_known_weights(images):
    """Without weights every pixel is the sigmoid of its bias; the pixels keep their order."""
    model = build("model=autoencoder")
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    logits = np.linspace(-4, 4, 784, dtype=np.float32)
    model.get_layer("decoder").get_layer("pixels").set_weights([np.zeros((128, 784)), logits])
    expected = 1 / (1 + np.exp(-logits.reshape(28, 28, 1)))
    np.testing.assert_allclose(np.asarray(model(images)), np.stack([expected] * 3), rtol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "code_shape", "units"),
    [
        ([], (7, 7, 64), [32, 64, 64, 128, 4]),
        (["model.filters=[8]", "model.latent_filters=2"], (14, 14, 2), [8, 2, 4]),
    ],
)
def test_the_convolutional_one_halves_the_image_and_doubles_it_back(overrides, code_shape, units, images):
    model = build("model=conv_autoencoder", *overrides)
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    assert encoder(images).shape == (3, *code_shape)
    convolutions = [layer for layer in (*encoder.layers, *decoder.layers) if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == units
    output = np.asarray(model(images))
    assert (output.shape, output.dtype) == ((3, 28, 28, 1), np.float32)
    assert 0 < output.min() < output.max() < 1


def test_the_pixels_of_a_block_lie_side_by_side(images):
    """The four outputs of one place, of known biases, are the 2×2 pixels of its block."""
    model = build("model=conv_autoencoder")
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    logits = np.array([-2, -1, 1, 2], dtype=np.float32)
    layer = model.get_layer("decoder").get_layer("pixels")
    layer.set_weights([np.zeros_like(layer.get_weights()[0]), logits])
    block = 1 / (1 + np.exp(-logits.reshape(2, 2)))
    expected = np.tile(block, (14, 14))[None, :, :, None]
    np.testing.assert_allclose(np.asarray(model(images[:1])), expected, rtol=1e-5)
