"""Which digits are taken for which: mean confusion matrices, and the pairs most often confused."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.matrices import N_DIGITS, fetch_confusions
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.runs import label_panels
from mnist_flow.analysis.statistics import summarise
from mnist_flow.analysis.style import build_title, make_panels
from mnist_flow.config.analyze import StudySection
from mnist_flow.config.section import Count
from mnist_flow.data.arrays import IntArray


class Config(StudySection):
    # Rows of the table of confused pairs, for each setting.
    pairs: Count


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """A matrix a setting, the mean of its runs, and the pairs most often confused."""
    shares = build_shares(label_panels(runs.table), runs.table["run_id"], fetch_confusions(runs.table))
    summary = summarise(shares, ["panel", "true", "predicted"], "share")
    figure = plot_confusions(summary, build_title("Confusion on the test set, shares of each row in %", runs.table))
    return Drawing({"": figure}, {"": summary, "pairs": list_pairs(summary, study.pairs)})


def build_shares(panels: pd.Series, run_ids: pd.Series, confusions: Mapping[str, IntArray]) -> pd.DataFrame:
    """Rows of the matrices as shares: one row a run, true and predicted digit.

    Args:
        panels: a text a run.
        run_ids: the runs.
        confusions: counts, int (10, 10), rows true and columns predicted, by run id.

    Returns:
        Columns panel, run_id, true, predicted, share (of the images of the true digit).
    """
    digits = np.arange(N_DIGITS)
    parts = []
    for panel, run_id in zip(panels, run_ids, strict=True):
        if run_id in confusions:
            counts = confusions[run_id]
            share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            cells = {"true": np.repeat(digits, N_DIGITS), "predicted": np.tile(digits, N_DIGITS)}
            parts.append(pd.DataFrame({"panel": panel, "run_id": run_id, **cells, "share": share.ravel()}))
    return pd.concat(parts, ignore_index=True)


def list_pairs(summary: pd.DataFrame, count: int) -> pd.DataFrame:
    """The mistakes with the largest mean shares, `count` rows a panel, the largest first."""
    mistakes = summary[(summary["true"] != summary["predicted"]) & (summary["mean"] > 0)]
    ordered = mistakes.sort_values("mean", ascending=False, kind="stable").groupby("panel", sort=False).head(count)
    rank = {panel: index for index, panel in enumerate(dict.fromkeys(summary["panel"]))}
    return ordered.sort_values("panel", key=lambda column: column.map(rank), kind="stable").reset_index(drop=True)


def plot_confusions(summary: pd.DataFrame, title: str) -> Figure:
    """Mean row-normalised matrices, a panel a setting; the colours end at the largest mistake of all."""
    panels = list(dict.fromkeys(summary["panel"]))
    figure, all_axes = make_panels(len(panels), 2, (5.2, 4.9), 0.6, title)
    mistakes = summary.loc[summary["true"] != summary["predicted"], "mean"]
    darkest = max(mistakes.max(), 1e-3)
    for axes, panel in zip(all_axes, panels, strict=True):
        shown = summary[summary["panel"] == panel]
        mean = shown.pivot_table(index="true", columns="predicted", values="mean").to_numpy()
        image = _plot_matrix(axes, mean, darkest)
        axes.set_title(f"{panel} (mean of n = {shown['n'].min()})", fontsize=9)
    bar = figure.colorbar(image, ax=all_axes, extend="max", shrink=0.6, aspect=30)
    bar.set_label("share of the true digit's images in % (darkest from the largest mistake on)", fontsize=9)
    return figure


def _plot_matrix(axes: Axes, mean: np.ndarray, darkest: float):  # type: ignore[no-untyped-def]
    image = axes.imshow(100 * mean, cmap="Blues", vmin=0, vmax=100 * darkest)
    for true, predicted in np.ndindex(mean.shape):
        value = 100 * mean[true, predicted]
        # What rounds to nothing stays empty.
        if value >= 0.005:
            text = f"{value:.1f}" if value >= 10 else f"{value:.2f}"
            color = "white" if value > 60 * darkest else "black"
            axes.text(predicted, true, text, ha="center", va="center", fontsize=8, color=color)
    axes.set(xlabel="predicted digit", ylabel="true digit", xticks=range(N_DIGITS), yticks=range(N_DIGITS))
    return image
