"""Images of the user's own: an .npz file, a folder of IDX files, or a folder of pictures for each class."""

from __future__ import annotations

import logging
import math
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnist_flow.config.section import OpenFraction, Seed
from mnist_flow.config.train import DataSection
from mnist_flow.data.dataset import RawData
from mnist_flow.data.foreign import read_labels, read_pixels
from mnist_flow.data.holdout import choose_images
from mnist_flow.data.idx import find_idx_files, read_idx
from mnist_flow.data.npz import read_npz
from mnist_flow.data.pictures import list_visible, read_pictures
from mnist_flow.errors import DataError

log = logging.getLogger(__name__)

_FORMS = (
    "an .npz file with x_train and y_train, a folder with train-images-idx3-ubyte and train-labels-idx1-ubyte, or a "
    "folder that has the pictures of each class in a folder with its name"
)


class Config(DataSection):
    """Images at a path, grey or in colour, of 2 to 1,000 classes."""

    names_vary = True

    test_fraction: OpenFraction
    test_seed: Seed


def load(path: str | None, test_fraction: float, test_seed: int) -> RawData:
    """Load the images at a path; where they have no test part, hold one out, the same fraction of each class.

    Args:
        path: an .npz file with x_train, y_train and perhaps x_test, y_test and class_names; a folder of IDX files,
            named as MNIST's are; or a folder with train/NAME/* and perhaps test/NAME/*, or with NAME/*, NAME being a
            class. None is refused.
        test_fraction: of the images that are held out where there is no test part.
        test_seed: of the choice of these images.

    Raises:
        DataError: the images can't be read, or are not what a classifier can learn; the message names the remedy.
    """
    if path is None:
        raise DataError(f"data.path=null: must name the images, data.path=X: {_FORMS}")
    source, arrays = _read(path)
    parts = [part for part in ("train", "test") if f"x_{part}" in arrays or f"y_{part}" in arrays]
    if missing := [key for part in parts for key in (f"x_{part}", f"y_{part}") if key not in arrays]:
        raise DataError(
            f"{source}: has images without labels or labels without images: lacks {' '.join(missing)}; add it"
        )
    images = {part: read_pixels(source, f"x_{part}", arrays[f"x_{part}"]) for part in parts}
    names, labels = read_labels(source, {part: arrays[f"y_{part}"] for part in parts}, arrays.get("class_names"))
    for part in parts:
        if len(images[part]) != len(labels[part]):
            counts = f"{len(images[part])} images, but y_{part} {len(labels[part])} labels"
            raise DataError(f"{source}: x_{part} has {counts}; each image needs one")
        if images[part].shape[1:] != images["train"].shape[1:]:
            shapes = [images[one].shape[1:] for one in parts]
            told = f"x_train has images of the shape {shapes[0]}, but x_test of {shapes[1]}"
            raise DataError(f"{source}: {told}; give all images one size")
    if "test" not in parts:
        images, labels = _hold_out(source, images["train"], labels["train"], names, test_fraction, test_seed)
    height, width, channels = images["train"].shape[1:]
    shape = height, width, channels
    return RawData(source, shape, names, images["train"], labels["train"], images["test"], labels["test"])


def _read(path: str) -> tuple[str, dict[str, np.ndarray]]:
    """The absolute path, and the arrays of whichever form the images have."""
    try:
        place = Path(path).expanduser().resolve()
        if place.is_dir():
            if not any(place.iterdir()):
                raise DataError(f"{place}: is an empty folder; it must be {_FORMS}")
            if files := find_idx_files(place):
                return str(place), {key: read_idx(file) for key, file in files.items()}
            pictures = read_pictures(place)
            _warn_of_other_parts(place)
            return str(place), pictures
    except (OSError, RuntimeError) as error:
        raise DataError(f"data.path={path}: can't be read ({error}); it must be {_FORMS}") from error
    return read_npz(path, f"It must be {_FORMS}.", ("x_train", "y_train"), ("x_test", "y_test", "class_names"))


def _warn_of_other_parts(folder: Path) -> None:
    """Say which folders beside those of the parts are not read; val/ is a common one."""
    parts = {part for part in ("train", "test") if (folder / part).is_dir()}
    others = [f"{path.name}/" for path in list_visible(folder) if path.is_dir() and path.name not in parts]
    if parts and others and _is_main_process():
        log.warning(
            "%s: only train/ and test/ are read, and %s is left out; move its pictures into train/, of which "
            "data.holdout_size holds out those to validate on, or move it away",
            *(folder, " ".join(others)),
        )


def _is_main_process() -> bool:
    """Whether warnings are given here: the workers of a pool load the images that their main process has told of."""
    return multiprocessing.parent_process() is None


def _hold_out(
    source: str, images: np.ndarray, labels: np.ndarray, names: Sequence[str], fraction: float, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Images and labels of the parts `train` and `test`, the same fraction of each class."""
    n = math.ceil(fraction * len(labels))
    try:
        chosen = choose_images(labels, n, seed, names)
    except ValueError as error:
        raise DataError(
            f"{source}: has no test part to measure on: data.test_fraction={fraction} ({n} of {len(labels)} "
            f"images): {error}"
        ) from error
    if _is_main_process():
        log.warning(
            "%s has no test part: %d of its %d images are held out as one (data.test_fraction=%g data.test_seed=%d)",
            *(source, len(chosen[1]), len(labels), fraction, seed),
        )
    rows = dict(zip(("train", "test"), chosen, strict=True))
    return {part: images[one] for part, one in rows.items()}, {part: labels[one] for part, one in rows.items()}
