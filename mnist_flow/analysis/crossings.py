"""From which noise level on a denoiser helps a classifier. Pure."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from mnist_flow.analysis.statistics import COLLAPSED_BELOW, summarise
from mnist_flow.config.train import FOLD
from mnist_flow.jobs.replicates import average_seeds

_CHAIN = ["classifier", "denoiser"]


def find_crossings(chains: pd.DataFrame) -> pd.DataFrame:
    """From which noise level on each denoiser helps each classifier, and what it costs on clean images.

    Args:
        chains: one row a run of a classifier, input, denoiser and noise level: columns classifier, denoiser, run_id,
            input (noisy, denoised, …), strength (the level) and macro_recall.

    Returns:
        One row a classifier and denoiser: n (seeds), crossed (those where the denoised recall passes the noisy one,
        which must be above a fifth), crossing (mean level at which it does, between two measured levels by a straight
        line; 0 where it never loses), std, ci_low, ci_high (95 % t interval), and change_at_0 (mean denoised less noisy
        recall of clean images), change_std.
    """
    noisy = chains.loc[chains["input"] == "noisy", ["run_id", "strength", "macro_recall"]]
    pairs = chains[chains["input"] == "denoised"].merge(noisy, "left", ["run_id", "strength"], suffixes=("", "_noisy"))
    pairs = pairs.assign(gain=pairs["macro_recall"] - pairs["macro_recall_noisy"])
    replicates = []
    folds = [name for name in (FOLD,) if name in pairs]
    for (classifier, denoiser, _), one in pairs.groupby([*_CHAIN, "run_id"], sort=False):
        # At chance accuracy a gain says nothing.
        told = one[one["macro_recall_noisy"] > COLLAPSED_BELOW].sort_values("strength")
        crossing = find_crossing(told["strength"].to_numpy(dtype=float), told["gain"].to_numpy())
        change = one.loc[one["strength"] == 0, "gain"].mean()
        replicates.append((classifier, denoiser, crossing, change, *one[folds].iloc[0]))
    table = pd.DataFrame(replicates, columns=[*_CHAIN, "crossing", "change", *folds])
    found = summarise(table, _CHAIN, "crossing").rename(columns={"n": "crossed", "mean": "crossing"})
    by_chain = average_seeds(table, _CHAIN, "change").groupby(_CHAIN, sort=False)["change"]
    changes = by_chain.agg(n="size", change_at_0="mean", change_std="std").reset_index()
    # A chain that none of its seeds crosses has no summary.
    both = changes.merge(found, "left", on=_CHAIN).fillna({"crossed": 0}).astype({"crossed": int})
    return both[[*_CHAIN, "n", "crossed", "crossing", "std", "ci_low", "ci_high", "change_at_0", "change_std"]]


def find_crossing(levels: np.ndarray, gains: np.ndarray) -> float:
    """The first level at which a gain turns from negative to positive, by a straight line between its neighbours.

    Args:
        levels: ascending.
        gains: one a level.

    Returns:
        The first level where nothing is lost there; NaN where nothing is ever gained.
    """
    won = np.flatnonzero(gains > 0)
    if not len(won):
        return math.nan
    first = won[0]
    if first == 0 or not (gains[:first] < 0).any():
        return float(levels[0])
    before = np.flatnonzero(gains[:first] <= 0)[-1]
    return float(np.interp(0, gains[[before, first]], levels[[before, first]]))
