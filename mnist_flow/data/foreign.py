"""Turns images and labels of the user's own into bytes and numbers, or says what must be mended in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mnist_flow.data.arrays import IntArray
from mnist_flow.errors import DataError

MAX_SIDE = 256  # pixels
MAX_CLASSES = 1000
# Classes that a message names.
_MOST_NAMED = 5


def read_pixels(source: str, key: str, x: np.ndarray) -> np.ndarray:
    """Turn images into bytes.

    Args:
        source: names the file in messages.
        key: names the array in messages.
        x: uint8, or floats in [0, 1]; (n, height, width) or (n, height, width, 1 or 3).

    Returns:
        uint8 (n, height, width, 1 or 3); floats are multiplied by 255 and rounded.

    Raises:
        DataError: the array is none of these.
    """

    def refuse(reason: str) -> DataError:
        return DataError(f"{source}: {key} {reason}")

    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.ndim and len(x) == 0:
        raise refuse("holds no images; add some, or leave the part out")
    if x.ndim != 4 or x.shape[3] not in (1, 3):
        raise refuse(f"has the shape {x.shape}, but must be (n, height, width), or (n, height, width, 1 or 3)")
    if not 1 <= min(x.shape[1:3]) <= max(x.shape[1:3]) <= MAX_SIDE:
        raise refuse(f"has images of {x.shape[2]}×{x.shape[1]} pixels, but must have 1×1 to {MAX_SIDE}×{MAX_SIDE}")
    if np.issubdtype(x.dtype, np.floating):
        bad = np.flatnonzero(~np.isfinite(x).all(axis=(1, 2, 3)))
        if len(bad):
            raise refuse(f"has NaN or infinite pixels in {len(bad)} images, first in x[{bad[0]}]; leave these out")
        if x.min() < 0 or x.max() > 1:
            raise refuse(
                f"holds floats from {x.min():g} to {x.max():g}, but must hold 0 to 1, or uint8 from 0 to 255; "
                "scale all images by the same numbers"
            )
        return np.rint(x * 255).astype(np.uint8)
    if x.dtype != np.uint8:
        raise refuse(f"is {x.dtype}, but must be uint8 from 0 to 255, or floats from 0 to 1; convert it")
    return x


def read_labels(
    source: str, labels: Mapping[str, np.ndarray], class_names: np.ndarray | None
) -> tuple[tuple[str, ...], dict[str, IntArray]]:
    """Number the classes.

    Args:
        source: names the file in messages.
        labels: of the parts `train` and perhaps `test`: (n,) or (n, 1), integers from 0 without gaps, or names.
        class_names: of the labels 0, 1, …; None: they are called by their numbers.

    Returns:
        The names of the classes, those that labels are sorted, and int64 labels (n,) by part.

    Raises:
        DataError: the labels are something else, or are not of 2 to 1,000 classes that training sees.
    """
    # Keras's CIFAR arrays have a column of labels.
    labels = {part: y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y for part, y in labels.items()}
    train = labels["train"]
    for part, y in labels.items():
        if y.ndim != 1 or not (y.dtype.kind == train.dtype.kind == "U" or {y.dtype.kind, train.dtype.kind} <= {*"iu"}):
            raise DataError(
                f"{source}: y_{part} is {y.dtype} of the shape {y.shape}, but labels must be (n,) integers from 0, or "
                "(n,) names, in both parts"
            )
    seen = np.unique(train)
    if len(unknown := np.setdiff1d(labels.get("test", train), seen)):
        raise DataError(
            f"{source}: classes of the test part that training never saw: {_name_some(unknown)}; move some of their "
            "images to the training part, or leave these classes out"
        )
    if not 2 <= len(seen) <= MAX_CLASSES:
        raise DataError(
            f"{source}: number of classes to train on: {len(seen)}, but there must be 2 to {MAX_CLASSES:,}; "
            f"{'add images of another class' if len(seen) < 2 else 'leave some out'}"
        )
    if train.dtype.kind == "U":
        if class_names is not None:
            raise DataError(f"{source}: has class_names, but its labels are names already; leave out class_names")
        return tuple(map(str, seen)), {part: np.searchsorted(seen, y) for part, y in labels.items()}
    if class_names is not None and class_names.dtype.kind not in "iuU":
        raise DataError(
            f"{source}: class_names is {class_names.dtype}, but must hold texts, such as np.array(['cat', 'dog'])"
        )
    names = tuple(map(str, seen if class_names is None else class_names.ravel()))
    if len(names) != len(seen) or len(set(names)) < len(names) or not all(map(str.strip, names)):
        raise DataError(f"{source}: class_names needs a name of its own for each of the {len(seen)} classes")
    if seen.min() < 0:
        raise DataError(
            f"{source}: y_train has the label {seen.min()}, but the first class is 0; number the classes 0 to "
            f"{len(seen) - 1}, or save their names as labels"
        )
    if not np.array_equal(seen, np.arange(len(seen))):
        first = np.setdiff1d(np.arange(len(seen)), seen)[0]
        raise DataError(
            f"{source}: no image of y_train has the label {first}, but some have {seen.max()}; number the classes 0 to "
            f"{len(seen) - 1}, or save their names as labels"
        )
    return names, {part: y.astype(np.int64) for part, y in labels.items()}


def _name_some(names: Sequence[object] | np.ndarray) -> str:
    shown = ", ".join(str(name) for name in names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"
