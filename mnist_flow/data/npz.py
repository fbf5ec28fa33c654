"""Reads the .npz files that data sets are kept in."""

from __future__ import annotations

import textwrap
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnist_flow.errors import DataError

_KEYS = ("x_train", "y_train", "x_test", "y_test")
# Letters of the names of arrays in a message.
_LONGEST = 200


def read_npz(
    path: str, remedies: str = "", keys: Sequence[str] = _KEYS, optional: Sequence[str] = ()
) -> tuple[str, dict[str, np.ndarray]]:
    """Read arrays of a file; others in it are left out.

    Args:
        path: of the file; `~` is the home folder.
        remedies: how the data can be had otherwise, the end of each message.
        keys: names of the arrays that it must hold.
        optional: names of arrays that are read where it holds them.

    Returns:
        The absolute path, and the arrays by name.

    Raises:
        DataError: there is no such file, or it lacks an array, is damaged, or is no .npz file.
    """
    try:
        file = Path(path).expanduser()
        found, is_folder = file.is_file(), file.is_dir()
    except (OSError, RuntimeError):  # a name too long, an unknown ~user
        found, is_folder = False, False
    if not found:
        raise DataError(
            f"data.path={path}: {'is a folder, not an .npz file' if is_folder else 'no such file'}. {remedies}"
        )
    resolved = str(file.resolve())
    try:
        # Opened here: np.load leaves the file open when it is no zip archive.
        with open(resolved, "rb") as stream, np.load(stream, allow_pickle=False) as archive:  # noqa: PTH123
            missing = [key for key in keys if key not in archive.files]
            if missing:
                held = textwrap.shorten(" ".join(archive.files), _LONGEST, placeholder=" …") or "nothing"
                raise DataError(f"{resolved}: lacks {' '.join(missing)}; it holds {held}. {remedies}")
            arrays = {key: archive[key] for key in (*keys, *optional) if key in archive.files}
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
        TypeError,
        AttributeError,
    ) as error:
        raise DataError(f"{resolved}: {_describe_unreadable(file, error)}. {remedies}") from error
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise DataError(f"{resolved}: not all of {' '.join(arrays)} are arrays. {remedies}")
    return resolved, arrays


def _describe_unreadable(file: Path, error: Exception) -> str:
    """Say what is wrong with a file that NumPy can't read, by the bytes that it begins with."""
    try:
        with file.open("rb") as stream:
            begin = stream.read(6)
    except OSError as refused:
        return f"can't be read ({refused.strerror})"
    if begin == b"\x93NUMPY":
        return "is a single array (.npy), not an .npz file; save all arrays in one file with np.savez"
    if not begin.startswith(b"PK"):
        return "is no .npz file, which np.savez writes"
    # NumPy's advice would be to run code that the file holds.
    if "pickle" in str(error):
        return "holds Python objects, not only numbers and texts; save it without them"
    return f"is damaged or cut short ({error}); copy or save it again"
