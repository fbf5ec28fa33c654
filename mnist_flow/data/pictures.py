"""Reads folders of pictures, one folder a class: PNG, JPEG and whatever else Pillow opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mnist_flow.data.foreign import MAX_SIDE
from mnist_flow.errors import DataError

# Written beside pictures by Windows, and hidden there.
_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
# Pillow's names of how 8 bits a channel are stored; the others have 16 bits or more.
_GREY, _COLOUR, _WITH_ALPHA = {"1", "L"}, {"RGB", "P", "CMYK", "YCbCr"}, {"LA", "La", "PA", "RGBA", "RGBa"}


def read_pictures(folder: Path) -> dict[str, np.ndarray]:
    """Read the pictures of a folder: train/NAME/*, perhaps with test/NAME/*, or NAME/*; NAME is that of a class.

    The pictures of a class come in the order of their names. If any is in colour, grey ones become colour, too.

    Returns:
        x_train uint8 (n, height, width, channels) and y_train, names (n,); where there is a test part, the same for it.

    Raises:
        DataError: a picture can't be read, or is not like the others; a class is empty or mixed with other files.
    """
    parts = {part: folder / part for part in ("train", "test") if (folder / part).is_dir()}
    if "test" in parts and "train" not in parts:
        raise DataError(f"{folder}: has test/ but no train/; name the folder of the training classes train")
    listed = {part: _list_pictures(inside) for part, inside in (parts or {"train": folder}).items()}
    pictures = {file: _read_picture(file) for files in listed.values() for file, _ in files}
    _check_sizes(pictures)
    channels = max(image.shape[2] for image in pictures.values())
    arrays = {}
    for part, files in listed.items():
        # Grey pictures among colour ones are repeated in each channel.
        images = [np.broadcast_to(pictures[file], (*pictures[file].shape[:2], channels)) for file, _ in files]
        arrays[f"x_{part}"] = np.stack(images)
        arrays[f"y_{part}"] = np.array([name for _, name in files])
    return arrays


def _list_pictures(folder: Path) -> list[tuple[Path, str]]:
    """Files and their classes, sorted."""
    found: list[tuple[Path, str]] = []
    for inside in list_visible(folder):
        if not inside.is_dir():
            raise DataError(f"{inside}: lies beside the folders of the classes; move it into one of them, or away")
        files = list_visible(inside)
        if not files:
            raise DataError(f"{inside}: no pictures of this class; add some, or remove the folder")
        stems: dict[str, Path] = {}
        for file in files:
            if file.is_dir():
                raise DataError(f"{file}: a folder within the folder of a class; move its pictures up, or it away")
            twin = stems.setdefault(file.stem.casefold(), file)
            if twin is not file:
                raise DataError(f"{file}: has the name of {twin.name}; remove one of them, or rename it")
        found += [(file, inside.name) for file in files]
    if not found:
        raise DataError(f"{folder}: holds no folders of pictures; put those of each class into a folder with its name")
    return found


def list_visible(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, without hidden files and those that systems write beside pictures."""
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and path.name.lower() not in _SYSTEM_FILES
    )


def _read_picture(file: Path) -> np.ndarray:
    """One picture, uint8 (height, width, 1 or 3)."""
    try:
        with Image.open(file) as opened:
            if max(opened.size) > MAX_SIDE:
                raise DataError(
                    f"{file}: is {_describe_size(opened.size)}, but at most {MAX_SIDE}×{MAX_SIDE} pixels are taken; "
                    "make all pictures smaller"
                )
            if (n_frames := getattr(opened, "n_frames", 1)) > 1:
                raise DataError(f"{file}: holds {n_frames} pictures; save each to a file of its own")
            # Cameras say in a tag how a picture is to be turned.
            picture = ImageOps.exif_transpose(opened)
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: can't be read as a picture ({reason}); save it again, or move it away") from error
    if picture.mode not in _GREY | _COLOUR | _WITH_ALPHA:
        raise DataError(f"{file}: has more than 8 bits a pixel and channel (mode {picture.mode}); save it with 8 bits")
    is_grey = picture.mode in _GREY or picture.mode in ("LA", "La")
    has_palette = picture.mode in ("P", "PA")
    if picture.mode in _WITH_ALPHA or picture.has_transparency_data:
        picture = picture.convert("LA" if is_grey else "RGBA")
        if np.asarray(picture)[..., -1].min() < 255:
            raise DataError(f"{file}: is transparent in places; save it without transparency")
    pixels = np.asarray(picture.convert("L" if is_grey else "RGB"))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    # GIF has a palette for every picture, and programs save grey PNGs with one, too: the pixels tell.
    return pixels[..., :1] if has_palette and (pixels == pixels[..., :1]).all() else pixels


def _check_sizes(pictures: dict[Path, np.ndarray]) -> None:
    (first, image), *others = pictures.items()
    for file, other in others:
        if other.shape[:2] != image.shape[:2]:
            sizes = [_describe_size(one.shape[1::-1]) for one in (other, image)]
            raise DataError(f"{file}: is {sizes[0]} pixels, but {first} is {sizes[1]}; give all pictures one size")


def _describe_size(size: tuple[int, ...]) -> str:
    """Width×height, as programs for pictures say it."""
    return f"{size[0]}×{size[1]}"
