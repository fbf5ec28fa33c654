"""What sweeps and searches on clusters share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Where Ray keeps sockets and logs: their paths may have 107 letters, which pytest's own folders exceed."""
    folder = Path(tempfile.mkdtemp(prefix="ray_"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
