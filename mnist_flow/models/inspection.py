"""The layers of a network, and the output of each for some images."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mnist_flow.data.arrays import FloatArray
from mnist_flow.models.activations import Activation
from mnist_flow.runtime.lazy import keras

_LAYER_BYTES = 16_000_000


def list_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers from input to output, those of nested models included, but no inputs."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from list_layers(layer)
        elif type(layer).__name__ != "InputLayer":
            yield layer


def limit_batch_size(model: keras.Model, batch_size: int) -> int:
    """Largest batch size whose layer outputs stay below 16 MB each: `batch_size` at most, 1 at least.

    For the maps of a convolution 1,000 images would take half a gigabyte of a worker's memory, and gain no time.
    """
    largest = max(math.prod(layer.output.shape[1:]) for layer in list_layers(model))
    return max(1, min(batch_size, _LAYER_BYTES // (largest * np.dtype(np.float32).itemsize)))


def compute_activations(model: keras.Model, images: FloatArray) -> list[Activation]:
    """The output of each layer at inference, where dropout passes everything on.

    Args:
        model: a network of layers, or a chain of such networks, as an autoencoder's halves are.
        images: float32 (n, height, width, channels), scaled as the model takes them.

    Returns:
        From input to output.
    """
    found = []
    values = images
    for half in [layer for layer in model.layers if hasattr(layer, "layers")] or [model]:
        layers = list(list_layers(half))
        outputs = keras.Model(half.inputs[0], [layer.output for layer in layers])(values, training=False)
        found += [
            Activation(layer.name, type(layer).__name__, np.asarray(output, dtype=np.float32))
            for layer, output in zip(layers, outputs, strict=True)
        ]
        values = outputs[-1]
    return found
