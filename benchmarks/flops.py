"""Floating-point operations of a training, from its layers. A multiply-add counts as two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def list_costs(model: Any) -> list[int]:
    """Multiply-adds of an image in each dense or convolutional layer of a built Keras model; all else is small.

    Args:
        model: a keras.Sequential.
    """
    costs = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "Dense":
            costs.append(math.prod(layer.kernel.shape))
        elif kind == "Conv2D":
            positions = math.prod(layer.output.shape[1:3])
            costs.append(positions * math.prod(layer.kernel.shape))
    return costs


def count_forward(costs: Sequence[int]) -> int:
    """Operations of the prediction for one image."""
    return 2 * sum(costs)


def count_step(costs: Sequence[int]) -> int:
    """Operations of the training on one image.

    The gradients of the kernels and of the inputs cost as much as the prediction each; nobody asks for those of the
    first layer's inputs, the images.
    """
    return 3 * count_forward(costs) - 2 * costs[0]


def count_training(costs: Sequence[int], epochs: int, n_train: int, n_validation: int, n_test: int = 0) -> int:
    """Operations of a training that validates after each epoch and is tested once."""
    epoch = n_train * count_step(costs) + n_validation * count_forward(costs)
    return epochs * epoch + n_test * count_forward(costs)
