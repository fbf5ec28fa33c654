"""Reads IDX files, the format that MNIST was published in: LeCun, Cortes and Burges (1998)."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

from mnist_flow.errors import DataError

# The third byte of a file names the type of its numbers, which are big-endian.
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
# train-images-idx3-ubyte.gz, t10k-labels.idx1-ubyte, emnist-letters-test-images-idx3-ubyte, …
_NAME = re.compile(r"(?:.+-)?(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx\d-ubyte(?:\.gz)?")
_KINDS = {"images": "x", "labels": "y"}


def find_idx_files(folder: Path) -> dict[str, Path]:
    """Find the files of a folder that are named as MNIST's are.

    Args:
        folder: holds files such as train-images-idx3-ubyte, plain or with .gz at the end.

    Returns:
        Paths by x_train, y_train, x_test, y_test, as far as they are there; empty: it is no folder of this kind.

    Raises:
        DataError: two files have the same part.
    """
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        match = _NAME.fullmatch(file.name)
        if match is None:
            continue
        key = f"{_KINDS[match['kind']]}_{'train' if match['part'] == 'train' else 'test'}"
        # The plain file comes first, and its compressed copy says the same.
        if key in found and file.name != f"{found[key].name}.gz":
            raise DataError(
                f"{folder}: {found[key].name} and {file.name} hold the same part; leave one of them in the folder"
            )
        found.setdefault(key, file)
    return found


def read_idx(file: Path) -> np.ndarray:
    """Read the array of a file, plain or compressed by gzip.

    Raises:
        DataError: the file can't be read, is no IDX file, or is cut short.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: can't be read ({error.strerror}); check that it is there and yours to read"
        ) from error
    return parse_idx(content, str(file))


def parse_idx(content: bytes, source: str) -> np.ndarray:
    """Turn the bytes of an IDX file, plain or compressed by gzip, into its array.

    Args:
        content: of the file.
        source: names the file in messages.

    Raises:
        DataError: it is no IDX file, or is cut short.
    """
    if content.startswith(_GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{source}: damaged or cut short ({error}); copy or download it again") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise DataError(
            f"{source}: no IDX file, which begins with two zero bytes and a type; copy or download it again"
        )
    kind, n_axes = np.dtype(_TYPES[content[2]]), content[3]
    shape = tuple(int(size) for size in np.frombuffer(content[: 4 + 4 * n_axes], ">u4")[1:])
    wanted = 4 + 4 * n_axes + kind.itemsize * math.prod(shape)
    if len(shape) < n_axes or len(content) != wanted:
        raise DataError(
            f"{source}: has {len(content):,} bytes instead of the {wanted:,} that its header says; copy or download "
            "it again"
        )
    values = np.frombuffer(content, kind, offset=4 + 4 * n_axes)
    return values.reshape(shape).astype(kind.newbyteorder("="))
