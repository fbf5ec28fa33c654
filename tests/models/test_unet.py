import keras
import numpy as np
import pytest

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.models import build_model
from mnist_flow.models.unet import build_unet
from support import MNIST


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, 28, 28, 1), dtype=np.float32)


def test_the_configured_model(compose_config):
    model = build_model(validate_config(compose_config("model=unet"), TrainConfig).model, MNIST)
    assert (model.name, model.count_params()) == ("unet", 335_860)
    assert model.input_shape == model.output_shape == (None, 28, 28, 1)


@pytest.mark.parametrize(
    ("filters", "convolutions"),
    [
        (
            [6, 8],
            {
                "down_1": (14, 14, 6),
                "down_2": (7, 7, 8),
                "bottleneck": (7, 7, 5),
                "up_1": (7, 7, 24),
                "merge_1": (14, 14, 6),
                "pixels": (14, 14, 4),
            },
        ),
        ([6], {"down_1": (14, 14, 6), "bottleneck": (14, 14, 5), "pixels": (14, 14, 4)}),
    ],
    ids=["two sizes", "one size"],
)
def test_the_image_is_halved_and_doubled_back(filters, convolutions, images):
    keras.utils.set_random_seed(0)
    model = build_unet((28, 28, 1), filters, 5)
    found = {layer.name: layer.output.shape[1:] for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
    assert found == convolutions
    output = np.asarray(model(images))
    assert (output.shape, output.dtype) == ((3, 28, 28, 1), np.float32)
    assert 0 < output.min() < output.max() < 1


def test_every_size_is_handed_over(images):
    """What the way down saw reaches the way up beside what comes from below, and last of all the image itself."""
    model = build_unet((28, 28, 1), [6, 8], 5)
    taken = {name: [tensor.shape[-1] for tensor in model.get_layer(name).input] for name in ("skip_1", "skip_image")}
    assert taken == {"skip_1": [6, 6], "skip_image": [6, 4]}


@pytest.mark.parametrize("filters", [[6], [6, 8]])
def test_the_image_passes_through_the_outermost_skip_connection(filters, images):
    """Without any weights but those from each pixel of a block to itself, pixel by pixel the sigmoid of w·(x - 0.5)."""
    model = build_unet((28, 28, 1), filters, 5)
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    layer = model.get_layer("pixels")
    kernel = np.zeros_like(layer.get_weights()[0])
    kernel[1, 1, -4:] = 12 * np.eye(4)
    layer.set_weights([kernel, np.full(4, -6.0)])
    np.testing.assert_allclose(np.asarray(model(images)), 1 / (1 + np.exp(-12 * (images - 0.5))), rtol=1e-4)


def test_more_halvings_than_the_image_allows_are_told():
    with pytest.raises(ValueError, match=r"model.filters=\[8, 8, 8\]: an image of 28×28 pixels can't be halved"):
        build_unet((28, 28, 1), [8, 8, 8], 4)
