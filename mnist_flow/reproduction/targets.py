"""What is wanted beyond the reports, and whether it is reached. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

# Behind a denoiser: level of salt and pepper → macro recall that is wanted there.
_RECALLS = {0.4: 0.98, 0.5: 0.98}
# Of the macro recall of clean images.
_MOST_LOST = 0.001
# Worst accuracy of all directions and fills that is wanted at so many pixels, by what networks have against shifts, in
# the words of its label.
_SHIFT_PIXELS = 3
_SHIFTED = {"augmentation.name=shift": 0.99, "model.centering=mass": 0.98}


@dataclass(frozen=True)
class Target:
    """A number that is wanted, beside ours."""

    statement: str
    # What the number is of.
    subject: str
    is_loss: bool  # lost recall, which must not be above the bound; otherwise recall, which must not be below it
    bound: float
    mean: float  # over the seeds; NaN where it was not measured
    std: float
    n: int

    @property
    def is_met(self) -> bool | None:
        """None: not measured."""
        if math.isnan(self.mean):
            return None
        return self.mean <= self.bound if self.is_loss else self.mean >= self.bound


def judge_chains(recalls: pd.DataFrame, crossings: pd.DataFrame, denoiser: str) -> list[Target]:
    """The targets, of each classifier behind the denoiser.

    Args:
        recalls: table of `study=denoising`: curve, strength, n, mean and std of the macro recall.
        crossings: its table `crossings`, see `denoising.find_crossings`.
        denoiser: its experiment in MLflow; the others in the tables are left out.
    """
    targets = []
    for chain in crossings[crossings["denoiser"].str.partition(",")[0] == denoiser].to_dict("records"):
        name = f"{chain['classifier']}: denoised by {chain['denoiser']}"
        for level, bound in _RECALLS.items():
            found = recalls[(recalls["curve"] == name) & np.isclose(recalls["strength"], level)]
            mean, std, n = found[["mean", "std", "n"]].iloc[0] if len(found) else (math.nan, math.nan, 0)
            statement = f"macro recall at level {level:g}: at least {100 * bound:g} %"
            targets.append(Target(statement, name, False, bound, mean, std, int(n)))
        statement = f"macro recall lost at level 0: at most {100 * _MOST_LOST:g} points"
        lost, std = -chain["change_at_0"], chain["change_std"]
        targets.append(Target(statement, name, True, _MOST_LOST, lost, std, chain["n"]))
    return targets


def judge_shifts(worst: pd.DataFrame) -> list[Target]:
    """The targets of networks that were trained on shifted images, and of those that centre images.

    Args:
        worst: table `worst` of `study=shift`: model, pixels, n, mean and std of the worst accuracy. A model is judged
            by the key that its label names.
    """
    statement = f"accuracy at {_SHIFT_PIXELS} pixels in the worst direction: at least {{:g}} %"
    return [
        Target(statement.format(100 * bound), row["model"], False, bound, row["mean"], row["std"], row["n"])
        for key, bound in _SHIFTED.items()
        for row in worst[worst["pixels"] == _SHIFT_PIXELS].to_dict("records")
        if key in row["model"]
    ]
