"""A notebook's loop over shifted test images: np.roll and model.evaluate a condition."""

from __future__ import annotations

import argparse
import json
import os

import keras
import numpy as np

# (right, down) a pixel; of a diagonal both.
_DIRECTIONS = [(1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)]


def shift(images: np.ndarray, dx: int, dy: int, wrap: bool) -> np.ndarray:
    """Images (n, 28, 28, 1) moved to the right and down; what left comes in at the other side, or zeros do."""
    moved = np.roll(images, (dy, dx), axis=(1, 2))
    if not wrap:
        rows = slice(0, dy) if dy >= 0 else slice(dy, None)
        columns = slice(0, dx) if dx >= 0 else slice(dx, None)
        moved[:, rows] = 0
        moved[:, :, columns] = 0
    return moved


def list_shifts(max_pixels: int) -> list[tuple[int, int, bool]]:
    """(dx, dy, wrap): in place and by 1 to `max_pixels` in eight directions, with both fills."""
    moves = [(0, 0), *((right * n, down * n) for right, down in _DIRECTIONS for n in range(1, max_pixels + 1))]
    return [(dx, dy, wrap) for wrap in (True, False) for dx, dy in moves]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("MNIST_NPZ"))
    parser.add_argument("--model", required=True, help="a .keras file")
    parser.add_argument("--max-pixels", type=int, default=3)
    arguments = parser.parse_args()
    with np.load(arguments.data) as data:
        images, labels = data["x_test"].reshape(-1, 28, 28, 1).astype("float32") / 255, data["y_test"]
    model = keras.models.load_model(arguments.model)
    # The project's models take classes as vectors.
    targets = keras.utils.to_categorical(labels, 10)
    accuracies = [
        model.evaluate(shift(images, *condition), targets, verbose=0)[1]
        for condition in list_shifts(arguments.max_pixels)
    ]
    print(json.dumps({"conditions": len(accuracies), "mean_accuracy": float(np.mean(accuracies))}))


if __name__ == "__main__":
    main()
