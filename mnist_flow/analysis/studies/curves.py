"""Loss and accuracy over the epochs: every replicate, their mean and spread, and the published final value."""

from __future__ import annotations

import logging
import math
import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnist_flow import tracking
from mnist_flow.analysis import scales, style
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns, select_published
from mnist_flow.analysis.runs import is_same_value, label_panels, list_panels
from mnist_flow.analysis.statistics import count_replicates, summarise
from mnist_flow.config.analyze import StudySection
from mnist_flow.errors import TrackingError
from mnist_flow.figures import TRAINING_COLOR, VALIDATION_COLOR

log = logging.getLogger(__name__)

_METRICS = ("accuracy", "val_accuracy", "loss", "val_loss")
_MAX_PANELS = 16
# Of a line above a panel; more would run into the next one.
_HEADING_LETTERS = 42
# Where there are more runs than this, a panel shows the range of its runs instead of a line each.
_MAX_LINES = 200
# Epochs of a training whose first ones may lie outside of its panel.
_LEAST_CUT = 5


class Config(StudySection):
    """The study has no keys of its own."""


def draw(runs: StudyRuns, study: StudySection) -> Drawing:
    """Accuracy of classifiers in one figure, loss in the other, a panel a setting.

    Raises:
        TrackingError: no run has epoch curves.
    """
    curves = fetch_curves(runs.table)
    if n_pruned := tracking.count_pruned(sorted(set(runs.table["experiment_id"]))):
        log.warning("%d runs that a search pruned are left out; study=search draws them", n_pruned)
    title = style.build_title("Epoch curves", runs.table)
    measured = [name for name in ("accuracy", "loss") if f"val_{name}" in set(curves["metric"])]
    figures = {name: plot_curves(curves, runs, name, title) for name in measured}
    return Drawing(figures, {"": summarise(curves, ["panel", "metric", "epoch"], "value")})


def fetch_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Epoch metrics of runs: panel, run_id, metric, epoch, value.

    Runs without them are left out, and a warning names each.

    Raises:
        TrackingError: no run has them.
    """
    history = tracking.fetch_histories(list(table["run_id"]), _METRICS).rename(columns={"step": "epoch"})
    if history.empty:
        raise TrackingError(f"none of the {len(table)} runs has epoch curves; train them again: resume=false")
    for run_id in table.loc[~table["run_id"].isin(history["run_id"]), "run_id"]:
        log.warning("run %s has no epoch curves; it is left out", run_id)
    return list_panels(table).merge(history, on="run_id")


def plot_curves(curves: pd.DataFrame, runs: StudyRuns, quantity: str, title: str) -> Figure:
    """Plot the curves of `fetch_curves` that are of accuracy or of loss, a panel a setting, and what was published.

    A setting whose networks have no such curves, as autoencoders have no accuracy, has no panel.
    """
    curves = curves[curves["metric"].isin([quantity, f"val_{quantity}"])]
    panels = list(dict.fromkeys(curves["panel"]))
    if len(panels) > _MAX_PANELS:
        log.warning("%d settings; the first %d are drawn, study.filter chooses others", len(panels), _MAX_PANELS)
        panels = panels[:_MAX_PANELS]
    figure, all_axes = style.make_panels(len(panels), math.ceil(math.sqrt(len(panels))), (3.5, 2.7), 1.3, title)
    published = select_published(runs.published, f"test_{quantity}")
    settings = dict(iter(runs.table.groupby(label_panels(runs.table))))
    one_by_one = curves["run_id"].nunique() <= _MAX_LINES
    for axes, panel in zip(all_axes, panels, strict=True):
        shown = curves[curves["panel"] == panel]
        # An array, since an empty list would choose no columns.
        printed = published[np.array([_is_of(settings[panel], one) for _, one in published.iterrows()], dtype=bool)]
        _plot_lines(axes, shown[shown["metric"] == quantity], "training", TRAINING_COLOR, one_by_one)
        _plot_lines(axes, shown[shown["metric"] == f"val_{quantity}"], "validation", VALIDATION_COLOR, one_by_one)
        for index, (_, marks) in enumerate(printed.groupby("row", sort=False)):
            style.plot_published(
                axes,
                *([shown["epoch"].max()] * len(marks), marks["value"]),
                index=index,
                label="published at the end, a mark a report",
            )
        _set_ranges(axes, shown, printed["value"], quantity)
        axes.set_xlabel("epoch", fontsize=9)
        axes.set_ylabel("accuracy" if quantity == "accuracy" else "loss (cross-entropy + penalty)", fontsize=9)
        lines = textwrap.wrap(panel, _HEADING_LETTERS, break_long_words=False)
        n = f"({style.describe_n(count_replicates(shown, ['panel']))})"
        gap = " " if len(f"{lines[-1]} {n}") <= _HEADING_LETTERS else "\n"
        axes.set_title("\n".join(lines) + gap + n, fontsize=9)
    over = " over the folds" if style.has_folds(curves) else ""
    each = "thin: one run" if one_by_one else "light band: from the lowest run to the highest"
    cut = "    the first epochs may lie outside" if curves["epoch"].max() >= _LEAST_CUT else ""
    key = f"{each}    thick: mean    band: ± sample standard deviation{over}{cut}"
    style.add_legend(figure, all_axes, key)
    return figure


def _is_of(runs: pd.DataFrame, published: pd.Series) -> bool:
    """Whether a published value is of these runs, which are those of one panel: its experiment and all of its `at`."""
    here = runs["experiment"] == published["experiment"]
    for path, value in published["at"].items():
        here &= runs[path].map(lambda cell, value=value: is_same_value(cell, value)) if path in runs else False
    return bool(here.any())


def _plot_lines(axes: Axes, curves: pd.DataFrame, name: str, color: str, one_by_one: bool) -> None:
    by_run = curves.pivot_table(index="epoch", columns="run_id", values="value")
    if by_run.empty:
        return
    epochs = by_run.index.to_numpy(dtype=float)
    if len(epochs) == 1:
        # Nothing would be seen of lines and bands.
        values = by_run.to_numpy()[0]
        axes.plot(np.repeat(epochs, len(values)), values, ".", color=color, alpha=0.5)
        spread = values.std(ddof=1) if len(values) > 1 else 0.0
        axes.errorbar(epochs, values.mean(), spread, fmt="o", markersize=5, color=color, capsize=4, label=name)
        return
    if one_by_one:
        lines = [np.column_stack([epochs, values]) for values in by_run.to_numpy().T]
        axes.add_collection(LineCollection(lines, colors=color, linewidths=0.5, alpha=0.35), autolim=False)
    else:
        axes.fill_between(epochs, by_run.min(axis=1), by_run.max(axis=1), color=color, alpha=0.15, linewidth=0)
    means = summarise(curves, ["epoch"], "value").set_index("epoch").loc[by_run.index]
    mean, std = means["mean"], means["std"].fillna(0)
    axes.fill_between(epochs, mean - std, mean + std, color=color, alpha=0.2, linewidth=0)
    axes.plot(epochs, mean, color=color, linewidth=1.5, label=name)


def _set_ranges(axes: Axes, curves: pd.DataFrame, published: pd.Series, quantity: str) -> None:
    """The vertical range is that of the epochs after the first tenth, or the start would squash all that follows.

    Of a short training it is that of all epochs.
    """
    last = curves["epoch"].max()
    first = max(2, last / 10) if last >= _LEAST_CUT else 1
    later = curves.loc[curves["epoch"] >= first, "value"]
    scales.set_range(axes, pd.concat([later, published.astype(float)]) if len(published) else later, quantity)
    axes.set_xlim(0, last * 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
