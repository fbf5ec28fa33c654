"""The layers of a network, and the output of each for some images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from mnist_flow.data.arrays import FloatArray
from mnist_flow.runtime.lazy import keras

_LAYER_BYTES = 16_000_000


class Activation(NamedTuple):
    """A layer and its output for some images."""

    layer: str
    kind: str  # Keras's class: Conv2D, MaxPooling2D, Dropout, GaussianNoise, Dense, …
    output: FloatArray  # float32 (n, height, width, maps) or (n, units)


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


def summarise_activations(activations: Sequence[Activation]) -> pd.DataFrame:
    """One row a layer.

    Returns:
        Columns layer, kind, shape (of one image's, `26 × 26 × 32`), and over all images and units min, mean, max and
        share_zero: how much of it is exactly zero.
    """
    return pd.DataFrame(
        [
            {
                "layer": one.layer,
                "kind": one.kind,
                "shape": " × ".join(map(str, one.output.shape[1:])),
                "min": float(one.output.min()),
                "mean": float(one.output.mean(dtype=np.float64)),
                "max": float(one.output.max()),
                "share_zero": float(np.mean(one.output == 0)),
            }
            for one in activations
        ]
    )
