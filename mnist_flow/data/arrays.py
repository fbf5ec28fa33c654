"""The arrays that images and what is computed of them are kept in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_flow.runtime.own_code import refuse_result

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


def check_images(result: Any, shape: tuple[int, ...], function: Callable[..., Any]) -> FloatArray:
    """Return what a function of an option made of images, as float32.

    Args:
        result: what it returned.
        shape: of the images that it was given.
        function: of the user's own, or of this project.

    Raises:
        RunError: it is not of that shape.
    """
    if np.shape(result) != shape:
        raise refuse_result(function, result, f"images of the shape {shape}")
    return np.asarray(result, np.float32)
