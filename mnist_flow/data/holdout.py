"""Takes images out by chance, the same fraction of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnist_flow.data.arrays import IntArray


def choose_images(labels: IntArray, n: int, seed: int, class_names: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Choose the images that are kept and those that are taken out.

    Args:
        labels: int64 (n_images,).
        n: number of images to take out.
        seed: of the choice.
        class_names: of the labels 0, 1, …

    Returns:
        Ascending indices of the images that are kept and of those taken out.

    Raises:
        ValueError: there are too few images; the message stands behind the key that asks for `n`.
    """
    counts = np.bincount(labels)
    lowest = int(np.count_nonzero(counts))
    highest = len(labels) - lowest
    if 1 in counts:
        raise ValueError(
            f"class {class_names[counts.tolist().index(1)]} has a single image, and both parts need one; add "
            "images, or leave the class out"
        )
    if not lowest <= n <= highest:
        raise ValueError(f"must be from {lowest} to {highest} for these {len(labels)} images")
    # Takes seconds to import, and a sweep's main process splits nothing.
    from sklearn.model_selection import train_test_split

    kept, taken = train_test_split(np.arange(len(labels)), test_size=n, random_state=seed, stratify=labels)
    return np.sort(kept), np.sort(taken)
