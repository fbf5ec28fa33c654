"""Load, check, scale and split the images of any data set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from mnist_flow.config.options import find_option
from mnist_flow.data.arrays import IntArray
from mnist_flow.data.cache import RecentValues
from mnist_flow.data.dataset import DataSet, DatasetInfo, Images, Part, Published, RawData, Splits
from mnist_flow.data.holdout import choose_images
from mnist_flow.errors import DataError, RunError, UserError
from mnist_flow.runtime.own_code import digest_own_code, locate_mistake, refuse_result

# By name, module, options and path, with the time and size of the file, or of all files of the folder.
DATA_SETS = RecentValues[Published](2)
# By the key of the data set and how it is split.
SPLITS = RecentValues[Splits](1)
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def load_info(
    name: str, path: str | None = None, module: str | None = None, options: Mapping[str, Any] = NO_OPTIONS
) -> DatasetInfo:
    """Load what there is to know of a data set, without scaling its images.

    Args:
        name: of an option of conf/data: mnist, digits, …
        path: the file it is read from; None leaves that to the data set.
        module: of a data set of the user's own.
        options: what the data set's own `load` takes beside the path.

    Raises:
        ConfigError: there is no such data set.
        DataError: the data can't be had or is malformed; the message names every remedy.
    """
    return _load(name, path, module, options)[1]


def load_data_set(
    name: str, path: str | None = None, module: str | None = None, options: Mapping[str, Any] = NO_OPTIONS
) -> DataSet:
    """Load a data set, as `load_info` does, and scale its images to 0 to 1; its arrays are read-only."""
    _, data = _load(name, path, module, options)
    info = data.name, data.source, data.digest, data.input_shape, data.class_names
    return DataSet(*info, _scale(data.train), _scale(data.test))


def load_splits(
    name: str,
    path: str | None,
    validation: Literal["holdout", "test"],
    holdout_size: float,
    split_seed: int,
    scale: float = 1.0,
    module: str | None = None,
    options: Mapping[str, Any] = NO_OPTIONS,
    fold: tuple[int, int] | None = None,
) -> Splits:
    """Load a data set, as `load_info` does, and choose the validation images.

    Args:
        name: see `load_info`.
        path: see `load_info`.
        validation: `holdout` takes stratified training images out; `test` validates on the test set, which makes every
            choice made on it optimistic (the protocol of all five reports).
        holdout_size: images held out, with `holdout`, or their fraction where it is below 1.
        split_seed: seeds the choice, with `holdout`.
        scale: all pixels are multiplied by it, those of the test set included: 1/255 repeats the mistake of report
            003-2C.
        module: see `load_info`.
        options: see `load_info`.
        fold: with `holdout`: the number of a fold, from 0, and how many folds there are. The validation images are its
            images, and `holdout_size` does not count.

    Raises:
        ConfigError: there is no such data set.
        DataError: the data can't be had or is malformed, or its training part is too small for the hold-out or folds.
    """
    key, data = _load(name, path, module, options)
    return SPLITS.get(
        (key, validation, holdout_size, split_seed, scale, fold),
        lambda: _make_splits(data, validation, holdout_size, split_seed, scale, fold),
    )


def choose_holdout(
    info: DatasetInfo, labels: IntArray, holdout_size: float, split_seed: int
) -> tuple[IntArray, IntArray]:
    """Take out the same fraction of each class, by chance.

    Args:
        info: of the data set.
        labels: int64 (n,) of the training images.
        holdout_size: images to take out, or their fraction where it is below 1.
        split_seed: of the choice.

    Returns:
        Ascending indices of the images that are kept and of those held out.

    Raises:
        DataError: there are too few images.
    """
    n_held_out = round(holdout_size * len(labels)) if holdout_size < 1 else int(holdout_size)
    try:
        return choose_images(labels, n_held_out, split_seed, info.class_names)
    except ValueError as error:
        of_fraction = f" ({n_held_out} of {len(labels)} images)" if holdout_size < 1 else ""
        raise DataError(f"data={info.name} data.holdout_size={holdout_size}{of_fraction}: {error}") from error


def choose_fold(
    info: DatasetInfo, labels: IntArray, fold: tuple[int, int], split_seed: int
) -> tuple[IntArray, IntArray]:
    """Divide images into folds by chance, the same fraction of each class in all, and take out one of them.

    Every image is in exactly one fold.

    Args:
        info: of the data set.
        labels: int64 (n,) of the training images.
        fold: the number of the fold, from 0, and how many folds there are.
        split_seed: of the division, the same for all its folds.

    Returns:
        Ascending indices of the images that are kept and of those of the fold.

    Raises:
        DataError: a class has fewer images than there are folds.
    """
    number, folds = fold
    counts = np.bincount(labels, minlength=info.n_classes)
    scarce = int(counts.argmin())
    if counts[scarce] < folds:
        raise DataError(
            f"data.folds={folds}: class {info.class_names[scarce]} has only {counts[scarce]} training images of "
            f"{info.name}, and each fold needs one; take fewer folds"
        )
    # Takes seconds to import, and a sweep's main process splits nothing.
    from sklearn.model_selection import StratifiedKFold

    divided = StratifiedKFold(folds, shuffle=True, random_state=split_seed).split(np.zeros(len(labels)), labels)
    kept, held_out = next(islice(divided, number, None))
    return kept, held_out


def _make_splits(
    data: Published,
    validation: Literal["holdout", "test"],
    holdout_size: float,
    split_seed: int,
    scale: float,
    fold: tuple[int, int] | None,
) -> Splits:
    train, test = data.train, _scale(data.test, scale)
    if validation == "test":
        return Splits(_scale(train, scale), test, test)
    chosen = (
        choose_holdout(data, train.labels, holdout_size, split_seed)
        if fold is None
        else choose_fold(data, train.labels, fold, split_seed)
    )
    kept, held_out = (Part(train.images[rows], train.labels[rows]) for rows in chosen)
    return Splits(_scale(kept, scale), _scale(held_out, scale), test)


def _scale(part: Part, factor: float = 1.0) -> Images:
    """Bytes to 0 to 1, or to 0 to `factor`."""
    images = part.images.astype(np.float32)
    # In place: MNIST's training images are 188 MB.
    images /= np.float32(255)
    if factor != 1:
        images *= np.float32(factor)
    # A guard: jobs share these arrays, as measures do; one that writes into them must fail, not change another's data.
    images.setflags(write=False)
    part.labels.setflags(write=False)
    return Images(images, part.labels)


def _load(name: str, path: str | None, module: str | None, options: Mapping[str, Any]) -> tuple[Hashable, Published]:
    """The key of a data set in `DATA_SETS`, and the data set."""
    option = find_option("mnist_flow.data.sets", name, module)
    code = digest_own_code(module)
    load, names_vary = option.load, option.Config.names_vary or code is not None
    # As text, since an option may be a list.
    key = name, module, code, identify_file(path), repr(sorted(options.items()))

    def load_checked() -> Published:
        try:
            raw = load(path, **options)
        except (UserError, RunError):
            raise
        except Exception as error:
            if (told := locate_mistake(error)) is None:
                raise
            raise DataError(f"data.module={module}: {told}") from error
        if not isinstance(raw, RawData):
            raise DataError(str(refuse_result(load, raw, "a mnist_flow.data.dataset.RawData")))
        return _check(name, raw, names_vary)

    return key, DATA_SETS.get(key, load_checked)


def identify_file(path: str | None) -> Hashable:
    """What tells a file or a folder from others and from itself after a change; the path alone where there is none."""
    if path is None:
        return None
    try:
        place = Path(path).expanduser().resolve()
        described = [(str(file), *_stat(file)) for file in (place, *sorted(place.rglob("*")))]
    except (OSError, RuntimeError):
        return path
    # A folder may have many thousands of files, and keys are kept and compared.
    return str(place), hashlib.sha256(repr(described).encode()).hexdigest()


def _stat(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def _check(name: str, raw: RawData, names_vary: bool) -> Published:
    """Turn raw arrays into a data set; where its class names vary they are part of its digest.

    Raises:
        DataError: they are not what the data set says of itself.
    """
    if np.shape(raw.input_shape) != (3,):
        raise DataError(f"{raw.source}: input_shape={raw.input_shape}: must be (height, width, channels)")
    if np.ndim(raw.class_names) != 1:
        raise DataError(f"{raw.source}: class_names={raw.class_names}: must be a tuple with a name for each class")
    height, width, channels = raw.input_shape
    arrays: dict[str, Any] = {}
    for key in ("x_train", "y_train", "x_test", "y_test"):
        try:
            arrays[key] = np.asarray(getattr(raw, key))
        except ValueError as error:
            raise DataError(f"{raw.source}: {key} is no array: {error}") from error
    raw = replace(raw, input_shape=(height, width, channels), class_names=tuple(map(str, raw.class_names)), **arrays)
    train, test = _check_part(raw, "train", raw.x_train, raw.y_train), _check_part(raw, "test", raw.x_test, raw.y_test)
    _check_classes(raw, train.labels)
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array).data)
    # Numbers are what classes are called that have no names.
    if names_vary and list(raw.class_names) != [str(label) for label in range(len(raw.class_names))]:
        digest.update("\0".join(raw.class_names).encode())
    return Published(name, raw.source, digest.hexdigest()[:16], raw.input_shape, raw.class_names, train, test)


def _check_classes(raw: RawData, train: IntArray) -> None:
    if len(raw.class_names) < 2:
        raise DataError(f"{raw.source}: has the classes {list(raw.class_names)}, but there must be at least 2")
    if repeated := [name for name, n in Counter(raw.class_names).items() if n > 1]:
        told = f"class_names has {' '.join(repeated)} more than once"
        raise DataError(f"{raw.source}: {told}, and tables would mix these classes; give each a name of its own")
    if len(unseen := np.setdiff1d(np.arange(len(raw.class_names)), train)):
        names = " ".join(raw.class_names[label] for label in unseen)
        raise DataError(f"{raw.source}: classes without a training image: {names}. {raw.remedies}".rstrip())


def _check_part(raw: RawData, part: str, x: np.ndarray, y: np.ndarray) -> Part:
    def refuse(reason: str) -> DataError:
        return DataError(f"{raw.source}: {reason}. {raw.remedies}".rstrip())

    # A single channel may be left out.
    shapes = [raw.input_shape] + ([raw.input_shape[:2]] if raw.input_shape[2] == 1 else [])
    last = len(raw.class_names) - 1
    if x.dtype != np.uint8:
        raise refuse(f"x_{part} is {x.dtype}, but must be uint8 with pixels 0 to 255")
    if x.shape[1:] not in shapes or len(x) == 0:
        raise refuse(f"x_{part} has the shape {x.shape}, but must be (n, {', '.join(map(str, shapes[-1]))})")
    if not np.issubdtype(y.dtype, np.integer):
        raise refuse(f"y_{part} is {y.dtype}, but must hold integers 0 to {last}")
    if y.shape != (len(x),):
        raise refuse(f"y_{part} has the shape {y.shape}, but x_{part} has {len(x)} images")
    if y.min() < 0 or y.max() > last:
        raise refuse(f"y_{part} holds labels {y.min()} to {y.max()}, but must hold 0 to {last}")
    return Part(images=x.reshape(-1, *raw.input_shape), labels=y.astype(np.int64))
