"""Reads the .npz files that data sets are kept in."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnist_flow.errors import DataError

_KEYS = ("x_train", "y_train", "x_test", "y_test")


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
        DataError: there is no such file, or it lacks an array or is no .npz file.
    """
    try:
        file = Path(path).expanduser()
        found = file.is_file()
    except (OSError, RuntimeError):  # a name too long, an unknown ~user
        found = False
    if not found:
        raise DataError(f"data.path={path}: no such file. {remedies}")
    resolved = str(file.resolve())
    try:
        # Opened here: np.load leaves the file open when it is no zip archive.
        with open(resolved, "rb") as stream, np.load(stream, allow_pickle=False) as archive:  # noqa: PTH123
            missing = [key for key in keys if key not in archive.files]
            if missing:
                held = " ".join(archive.files) or "nothing"
                raise DataError(f"{resolved}: lacks {' '.join(missing)}; it holds {held}. {remedies}")
            arrays = {key: archive[key] for key in (*keys, *optional) if key in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, TypeError, AttributeError) as error:
        # NumPy's advice would be to run code that the file holds.
        reason = "it holds Python objects, not only numbers and texts" if "pickle" in str(error) else str(error)
        raise DataError(f"{resolved}: not a readable .npz file, perhaps cut short ({reason}). {remedies}") from error
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise DataError(f"{resolved}: not all of {' '.join(arrays)} are arrays. {remedies}")
    return resolved, arrays
