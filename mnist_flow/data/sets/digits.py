"""The small handwritten digits that scikit-learn brings along, drawn up to the size of MNIST."""

from __future__ import annotations

import numpy as np
from pydantic import model_validator

from mnist_flow.config.train import DataSection
from mnist_flow.data.dataset import RawData


class Config(DataSection):
    """1,797 handwritten digits, 360 of them for testing."""

    @model_validator(mode="after")
    def check_path(self) -> Config:
        if self.path is not None:
            raise ValueError(f"data.path={self.path}: belongs to data=mnist; the digits come with scikit-learn")
        return self


def load(path: str | None = None) -> RawData:
    """Load the 8×8 digits of scikit-learn, drawn up to 28×28 pixels; 360 of them, stratified, are the test part.

    Args:
        path: nothing is read from a file, so this is not used.
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    # 8×8 values 0 to 16 → 28×28 bytes; bilinear, so that no value leaves the range.
    small = bunch.images / 16.0  # (1797, 8, 8)
    drawn = zoom(small, (1, 3.5, 3.5), order=1)  # (1797, 28, 28)
    x_train, x_test, y_train, y_test = train_test_split(
        np.rint(drawn * 255).astype(np.uint8), bunch.target, test_size=360, random_state=0, stratify=bunch.target
    )
    return RawData(
        source="scikit-learn load_digits",
        input_shape=(28, 28, 1),
        class_names=tuple(str(digit) for digit in bunch.target_names),
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
    )
