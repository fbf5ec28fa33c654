"""The small handwritten digits that scikit-learn brings along, drawn up to the size of MNIST."""

from __future__ import annotations

from pydantic import model_validator

from mnist_flow.config.train import DataSection


class Config(DataSection):
    """1,797 handwritten digits, 360 of them for testing."""

    @model_validator(mode="after")
    def check_path(self) -> Config:
        if self.path is not None:
            raise ValueError(f"data.path={self.path}: belongs to data=mnist; the digits come with scikit-learn")
        return self
