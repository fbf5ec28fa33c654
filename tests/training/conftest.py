"""A precision that one module's tests set is not the next one's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mnist_flow.data.dataset import Images
from mnist_flow.training.devices import reset_keras


@pytest.fixture(autouse=True, scope="module")
def plain_keras_afterwards() -> Iterator[None]:
    yield
    reset_keras(seed=0)


@pytest.fixture
def numbered() -> Images:
    """50 images whose pixels all hold the image's number, and whose label is its last digit."""
    numbers = np.arange(50)
    return Images(np.broadcast_to(numbers[:, None, None, None], (50, 28, 28, 1)).astype(np.float32), numbers % 10)
