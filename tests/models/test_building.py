"""Every family for images and classes of any data set, a family of a user's own, and images that a family refuses."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from omegaconf import DictConfig

from mnist_flow.config.train import ModelSection, TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.errors import ConfigError
from mnist_flow.jobs.composition import list_replicates
from mnist_flow.models import build_model
from mnist_flow.models.cnn import BlockConfig, build_cnn
from support import COLOUR, LETTERS, MNIST

Compose = Callable[..., DictConfig]

CLASSIFIERS = ["mlp_100", "cnn_32_64_pool3", "lenet5", "lenet5_v2"]
AUTOENCODERS = ["autoencoder", "conv_autoencoder", "unet"]


def read_model(compose_config: Compose, *overrides: str) -> ModelSection:
    return validate_config(compose_config(*overrides), TrainConfig).model


def make_images(info: DatasetInfo) -> np.ndarray:
    return np.random.default_rng(0).random((3, *info.input_shape), dtype=np.float32)


@pytest.mark.parametrize("info", [LETTERS, COLOUR], ids=lambda info: info.name)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_has_an_output_a_class(compose_config, name, info):
    keras.utils.set_random_seed(0)
    model = build_model(read_model(compose_config, f"model={name}"), info)
    assert model.input_shape == (None, *info.input_shape)
    probabilities = np.asarray(model(make_images(info)))
    assert probabilities.shape == (3, info.n_classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "info", "parameters"),
    [
        # 784·100 + 100 + 100·26 + 26 and 3072·100 + 100 + 100·3 + 3
        ("mlp_100", LETTERS, 81_126),
        ("mlp_100", COLOUR, 307_603),
        # 3·3·3·32 + 32, 3·3·32·64 + 64, 9·9·64·300 + 300 and 300·3 + 3
        ("cnn_32_64_pool3", COLOUR, 1_575_795),
        ("unet", LETTERS, 335_860),
    ],
)
def test_parameters_follow_from_the_data_set(compose_config, name, info, parameters):
    assert build_model(read_model(compose_config, f"model={name}"), info).count_params() == parameters


@pytest.mark.parametrize("info", [LETTERS, COLOUR], ids=lambda info: info.name)
@pytest.mark.parametrize("name", AUTOENCODERS)
def test_an_autoencoder_gives_images_as_it_takes_them(compose_config, name, info):
    keras.utils.set_random_seed(0)
    model = build_model(read_model(compose_config, f"model={name}"), info)
    images = np.asarray(model(make_images(info)))
    assert (images.shape, images.dtype) == ((3, *info.input_shape), np.float32)
    assert 0 < images.min() < images.max() < 1
    assert np.ptp(images.mean(axis=(0, 1, 2))) > 0 or info.input_shape[2] == 1  # channels differ


@pytest.mark.parametrize("info", [LETTERS, COLOUR], ids=lambda info: info.name)
def test_a_conditional_autoencoder_takes_a_class_and_gives_an_image(compose_config, info):
    model = build_model(read_model(compose_config, "model=cvae"), info)
    assert [one.shape[1:] for one in model.inputs] == [info.input_shape, (info.n_classes,)]
    assert model.output_shape == (None, *info.input_shape)
    assert model.get_layer("decoder").input_shape[1] == (None, info.n_classes)


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_height_and_width_may_differ(compose_config, name):
    keras.utils.set_random_seed(0)
    info = dataclasses.replace(COLOUR, input_shape=(16, 24, 2))
    model = build_model(read_model(compose_config, f"model={name}"), info)
    assert np.asarray(model(make_images(info))).shape == (3, 16, 24, 2)


@pytest.mark.parametrize("input_shape", [(4, 40, 1), (40, 4, 1)])
def test_the_smaller_side_must_outlast_the_blocks(compose_config, input_shape):
    config = read_model(compose_config, "model=lenet5_v2")
    with pytest.raises(ValueError, match="nothing is left of the") as raised:
        config.check_input(input_shape)
    assert "×".join(map(str, input_shape[:2])) in str(raised.value)


def test_a_larger_image_can_be_halved_more_often(compose_config):
    config = read_model(compose_config, "model=unet", "model.filters=[4,4,4]")
    config.check_input(COLOUR.input_shape)
    assert build_model(config, COLOUR).output_shape == (None, 32, 32, 3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model=cnn", "model.blocks=[{filters: [4,4], kernel_size: 15, pool_size: 2}]"],
            "model.blocks: nothing is left of the 28×28 image after block 1; use smaller kernels or pools",
        ),
        (
            # 28 → convolution 26 → pool 13 → convolution 11 → a pool of 12.
            ["model=cnn", "model.blocks.1.pool_size=12"],
            "model.blocks: nothing is left of the 28×28 image after block 2; use smaller kernels or pools",
        ),
        (
            ["model=unet", "model.filters=[4,4,4]"],
            "model.filters=[4, 4, 4]: an image of 28×28 pixels can't be halved 3 times; use fewer filters, or images "
            "whose sides are multiples of 8",
        ),
        (
            ["model=conv_autoencoder", "model.filters=[4,4,4]"],
            "model.filters=[4, 4, 4]: an image of 28×28 pixels can't be halved 3 times; use fewer filters, or images "
            "whose sides are multiples of 8",
        ),
        (
            ["augmentation=shift", "augmentation.max_pixels=28"],
            "augmentation.max_pixels=28: must be at most 27, or nothing is left",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_images_that_cannot_be_taken_are_told_before_anything_starts(compose_config, overrides, message):
    config = validate_config(compose_config("data=digits", *overrides), TrainConfig)
    with pytest.raises(ConfigError) as raised:
        list_replicates([], config)
    assert str(raised.value) == message
    if overrides[0].startswith("model="):
        with pytest.raises(ValueError, match=r"^model\.") as refused:
            build_model(config.model, MNIST)
        assert str(refused.value) == message


def test_the_largest_shift_leaves_a_column(compose_config):
    overrides = "data=digits", "augmentation=shift", "augmentation.max_pixels=27"
    list_replicates([], validate_config(compose_config(*overrides), TrainConfig))


OWN = """
import keras
from mnist_flow.config.train import ModelSection

class Config(ModelSection):
    width: int

def build(config, info):
    images = keras.Input(info.input_shape)
    hidden = keras.layers.Dense(config.width, name="hidden")(keras.layers.Flatten()(images))
    return keras.Model(images, keras.layers.Dense(info.n_classes, "softmax", name="out")(hidden), name=config.name)
"""


def test_a_users_own_family_is_built_with_the_penalty_on_its_hidden_layers(
    compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "my_network.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_network", raising=False)
    cfg = compose_config()
    cfg.model = {"name": "mine", "family": "mine", "module": "my_network", "width": 7}
    model = build_model(validate_config(cfg, TrainConfig).model, LETTERS, 0.5)
    assert (model.name, model.output_shape) == ("mine", (None, 26))
    hidden, out = model.get_layer("hidden"), model.get_layer("out")
    assert hidden.units == 7
    assert float(hidden.kernel_regularizer.l2) == 0.5
    assert out.kernel_regularizer is None
    assert float(model.losses[0]) == pytest.approx(0.5 * np.sum(hidden.get_weights()[0] ** 2), rel=1e-6)


def test_zeros_around_an_image_on_both_sides_make_room_for_a_kernel():
    """Four pixels and two zeros on either side just hold a kernel of eight."""
    model = build_cnn((4, 4, 1), 2, [BlockConfig(filters=[3], kernel_size=8, pool_size=1)], zero_padding=2)
    assert model.get_layer("conv_1").output.shape == (None, 1, 1, 3)
    with pytest.raises(ValueError, match="nothing is left of the 4×4 image after block 1"):
        build_cnn((4, 4, 1), 2, [BlockConfig(filters=[3], kernel_size=9, pool_size=1)], zero_padding=2)
