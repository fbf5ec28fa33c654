"""What is wanted beyond the reports of a denoiser before a classifier, and whether it is reached. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

# Level of salt and pepper → macro recall that is wanted there.
_RECALLS = {0.4: 0.98, 0.5: 0.97}
# Of the macro recall of clean images.
_MOST_LOST = 0.001


@dataclass(frozen=True)
class Target:
    """A number that is wanted, beside that of a chain."""

    statement: str
    chain: str
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
