"""Folders that a command is about to write to."""

from __future__ import annotations

import os
from pathlib import Path


def find_obstacle(folder: Path) -> Path | None:
    """Find what keeps files from being written to a folder, which need not exist yet and is not made.

    Returns:
        The folder, or what is nearest above it, where that is read-only or no folder; None: files can be written.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return None if existing.is_dir() and os.access(existing, os.W_OK) else existing
