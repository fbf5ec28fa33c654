"""Cases of other people's reports, by the outside: their folders, environments, stores, signals and outputs."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All are slow, since each starts commands that train; `make test-outside` runs them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.outside)
            item.add_marker(pytest.mark.slow)
