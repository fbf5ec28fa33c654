"""Outputs of the layers of a network for some images, as a table. Imports no TensorFlow; `inspection` computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from mnist_flow.data.arrays import FloatArray


class Activation(NamedTuple):
    """A layer and its output for some images."""

    layer: str
    kind: str  # Keras's class: Conv2D, MaxPooling2D, Dropout, GaussianNoise, Dense, …
    output: FloatArray  # float32 (n, height, width, maps) or (n, units)


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
