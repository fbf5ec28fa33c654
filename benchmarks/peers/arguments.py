"""What the training loops share: their command line and their images. Imports no framework."""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_VALIDATION_IMAGES = 10_000


@dataclass(frozen=True)
class Fit:
    """One point of the grid."""

    learning_rate: float
    reg: float  # weight λ of the L2 penalty λ·Σw² on hidden kernels
    seed: int


def parse_arguments(description: str | None, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line of a training loop."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", default=os.environ.get("MNIST_NPZ"), help="an .npz file; default: MNIST_NPZ")
    parser.add_argument("--model", choices=["mlp", "cnn_32_64_pool3"], default="mlp")
    parser.add_argument("--hidden", type=int, nargs="+", default=[500, 300], help="units of the hidden layers of mlp")
    parser.add_argument("--reg", type=float, nargs="+", default=[0.0], help="weights of the L2 penalty")
    parser.add_argument("--learning-rate", type=float, nargs="+", default=[0.1])
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=128)
    parsed = parser.parse_args(arguments)
    if parsed.data is None:
        parser.error("--data or the environment variable MNIST_NPZ must name an .npz file")
    return parsed


def list_fits(arguments: argparse.Namespace) -> Iterator[Fit]:
    """The whole grid."""
    for point in itertools.product(arguments.learning_rate, arguments.reg, arguments.seed):
        yield Fit(*point)


def load_images(path: str) -> tuple[np.ndarray, ...]:
    """Images, float32 (n, 28, 28, 1) in [0, 1], and labels: x_train, y_train, x_val, y_val, x_test, y_test.

    The last 10,000 training images, of a small file a sixth, are held out: as many as the project holds out.
    """
    with np.load(path) as data:
        x, y, x_test, y_test = data["x_train"], data["y_train"], data["x_test"], data["y_test"]
    x = x.reshape(-1, 28, 28, 1).astype("float32") / 255
    x_test = x_test.reshape(-1, 28, 28, 1).astype("float32") / 255
    n = len(x) - min(_VALIDATION_IMAGES, len(x) // 6)
    return x[:n], y[:n], x[n:], y[n:], x_test, y_test


def print_accuracies(accuracies: Sequence[float]) -> None:
    """The last line of the output, for whoever checks that equal work was done."""
    print(json.dumps({"runs": len(accuracies), "test_accuracy": float(np.mean(accuracies))}))
