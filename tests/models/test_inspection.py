from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

from mnist_flow.models.autoencoder import build_autoencoder
from mnist_flow.models.cnn import BlockConfig, build_cnn
from mnist_flow.models.inspection import (
    Activation,
    compute_activations,
    limit_batch_size,
    list_layers,
    summarise_activations,
)
from mnist_flow.models.unet import build_unet

build_classifier = partial(build_cnn, (28, 28, 1), 10)


@pytest.fixture
def network():
    """A 2×2 kernel of ones less one, a pool, dropout and a dense layer of known weights, for 3×3 images."""
    model = keras.Sequential(
        [
            keras.Input((3, 3, 1)),
            layers.Conv2D(2, 2, activation="relu", name="conv_1"),
            layers.MaxPooling2D(2, name="pool_1"),
            layers.Dropout(0.5, name="dropout"),
            layers.Flatten(name="flatten"),
            layers.Dense(1, name="dense_1"),
        ]
    )
    kernel = np.stack([np.ones((2, 2, 1)), -np.ones((2, 2, 1))], axis=-1)
    model.set_weights([kernel, np.array([-1.0, 0.0]), np.array([[2.0], [5.0]]), np.array([0.5])])
    return model


def test_activations_against_literals(network):
    image = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    found = {one.layer: one for one in compute_activations(network, image)}
    assert [one.kind for one in found.values()] == ["Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense"]
    # Sums of the four 2×2 windows of 0 … 8, less one; the other map is negative, and so zero.
    assert found["conv_1"].output[0, :, :, 0].tolist() == [[7, 11], [19, 23]]
    assert not found["conv_1"].output[0, :, :, 1].any()
    assert found["pool_1"].output.tolist() == [[[[23, 0]]]]
    # Half of them would be dropped in training, and the others doubled.
    assert found["dropout"].output.tolist() == found["pool_1"].output.tolist()
    assert found["flatten"].output.tolist() == [[23, 0]]
    assert found["dense_1"].output.tolist() == [[46.5]]
    assert {one.output.dtype for one in found.values()} == {np.dtype(np.float32)}


def test_summary_of_activations_against_literals():
    maps = np.array([[[0, 2], [0, 4]]], np.float32).reshape(1, 2, 2, 1)
    table = summarise_activations([Activation("conv_1", "Conv2D", maps), Activation("d", "Dense", maps.reshape(2, 2))])
    assert list(table) == ["layer", "kind", "shape", "min", "mean", "max", "share_zero"]
    assert table.to_numpy().tolist() == [
        ["conv_1", "Conv2D", "2 × 2 × 1", 0, 1.5, 4, 0.5],
        ["d", "Dense", "2", 0, 1.5, 4, 0.5],
    ]


@pytest.mark.parametrize(
    "build",
    [
        partial(
            build_classifier,
            [BlockConfig(filters=[2], kernel_size=3, pool_size=2)],
            [4],
            [0.5],
            batch_normalization=True,
        ),
        partial(build_autoencoder, (28, 28, 1), [8], 2),
        partial(build_unet, (28, 28, 1), [4, 4], 4),
    ],
    ids=["cnn", "autoencoder", "unet"],
)
def test_the_last_layer_gives_what_the_model_gives(build):
    model = build()
    images = np.random.default_rng(0).random((3, 28, 28, 1), dtype=np.float32)
    found = compute_activations(model, images)
    assert [one.layer for one in found] == [layer.name for layer in list_layers(model)]
    np.testing.assert_allclose(found[-1].output, model.predict_on_batch(images), atol=1e-6)


def test_layers_of_an_autoencoder_are_those_of_its_halves():
    names = [layer.name for layer in list_layers(build_autoencoder((28, 28, 1), [8], 2))]
    assert names == ["flatten", "encode_1", "code", "decode_1", "pixels", "reshape"]


@pytest.mark.parametrize(
    ("build", "images"),
    [
        (
            partial(build_classifier, [BlockConfig(filters=[32, 64], kernel_size=3, pool_size=3)], [300], [0]),
            108,
        ),  # 24 × 24 × 64
        (partial(build_unet, (28, 28, 1), [96, 192], 192), 106),  # 14 × 14 × 192
        (partial(build_autoencoder, (28, 28, 1), [128], 96), 1000),
    ],
    ids=["cnn", "unet", "autoencoder"],
)
def test_a_batch_is_as_large_as_its_largest_layer_allows(build, images):
    model = build()
    assert limit_batch_size(model, 1000) == images
    assert limit_batch_size(model, 7) == 7


def test_a_batch_is_never_empty():
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.UpSampling2D(80)])
    assert limit_batch_size(model, 1000) == 1
