"""Gaussian noise on the input: report 000-3A; and what a run that learned nothing predicts: 000-3A and 003-2C."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mnist_flow.analysis import style
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.matrices import fetch_confusions
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.runs import list_panels
from mnist_flow.analysis.statistics import summarise
from mnist_flow.analysis.studies import compare, curves
from mnist_flow.data.dataset import name_class

_PARAM = "noise.stddev"
# A run whose predictions are one class more often than this has learned nothing.
_ONE_CLASS = 0.99


class Config(compare.Config):
    """The keys of `compare`, with the standard deviation of the noise as x."""

    x: Literal["noise.stddev"]


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """Accuracy over the noise, the classes that the runs predict, and their epoch curves.

    Raises:
        TrackingError: no run has a confusion matrix, or none has epoch curves.
    """
    table = runs.table
    # No noise is noise of no spread.
    stddev = table[_PARAM].fillna(0.0) if _PARAM in table else pd.Series(0.0, index=table.index)
    drawing = compare.draw(replace(runs, table=table.assign(**{_PARAM: stddev})), study)
    if stddev.nunique() == 1:
        # One noise is no axis; the curves show how the runs end.
        del drawing.figures[""]
    panels = list_panels(table)
    predictions = count_predictions(panels.merge(fetch_confusions(table), on="run_id"))
    predictions = predictions.merge(panels.drop(columns="panel"), on="run_id")
    summary = summarise_predictions(predictions)
    title = style.build_title("What the networks answer on the test set", table)
    drawing.figures["predictions"] = plot_predictions(predictions, summary, title)
    drawing.figures.update({f"curves_{what}": figure for what, figure in curves.draw(runs, study).figures.items()})
    drawing.tables["predictions"] = summary
    return drawing


def count_predictions(cells: pd.DataFrame) -> pd.DataFrame:
    """Count how often each run predicts each class.

    Args:
        cells: from `matrices.fetch_confusions`, with the column panel.

    Returns:
        Columns panel, run_id, digit (the class), fraction (of the run's predictions) and true_fraction (of the images).
    """
    predicted, true = (
        cells.groupby(["panel", "run_id", by], sort=False)["count"].sum().rename_axis(["panel", "run_id", "digit"])
        for by in ("predicted", "true")
    )
    counts = pd.DataFrame({"fraction": predicted, "true_fraction": true}).reindex(predicted.index)
    return (counts / counts.groupby(["panel", "run_id"]).transform("sum")).reset_index()


def summarise_predictions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Summarise each panel and class, with only_answer: the number of runs that hardly predict another class."""
    keys = ["panel", "digit"]
    stuck = predictions.assign(only_answer=predictions["fraction"] > _ONE_CLASS).groupby(keys)["only_answer"].sum()
    return summarise(predictions, keys, "fraction").merge(stuck.reset_index(), on=keys)


def plot_predictions(predictions: pd.DataFrame, summary: pd.DataFrame, title: str) -> Figure:
    """A histogram of the predictions a panel: bars are means, points are runs, the line is how often classes occur."""
    panels = list(dict.fromkeys(predictions["panel"]))
    figure, all_axes = style.make_panels(len(panels), 4, (3.6, 3.0), 1.0, title)
    for axes, panel in zip(all_axes, panels, strict=True):
        here = summary[summary["panel"] == panel]
        _plot_histogram(axes, predictions[predictions["panel"] == panel], here)
        axes.set_title(f"{panel}\n{describe_predictions(here)}", fontsize=9)
    style.add_legend(figure, all_axes)
    return figure


def describe_predictions(summary: pd.DataFrame) -> str:
    """What the runs of one panel predict, for its title."""
    n, stuck = style.describe_n(summary), summary["only_answer"].sum()
    if not stuck:
        return n
    classes = summary.loc[summary["only_answer"] > 0, "digit"]
    return f"{n}, {stuck} of them answer{'s' if stuck == 1 else ''} only {' or '.join(map(str, classes))}"


def _plot_histogram(axes: Axes, predictions: pd.DataFrame, summary: pd.DataFrame) -> None:
    classes = list(summary["digit"])
    places, name = range(len(classes)), name_class(classes)
    axes.bar(places, summary["mean"], color=style.COLORS[4], label=f"mean of the {style.name_replicates(predictions)}")
    axes.plot(
        *(predictions["digit"].map(classes.index), predictions["fraction"], "o"),
        color=style.COLORS[0],
        markersize=3.5,
        alpha=0.6,
        label="one run",
    )
    true = predictions.groupby("digit", sort=False)["true_fraction"].first()
    edges = np.arange(len(classes) + 1) - 0.5
    axes.stairs(true, edges, color="k", linewidth=1, label=f"share of the {name} in the test set")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel(f"{name} answered", fontsize=9)
    axes.set_ylabel("share of the answers", fontsize=9)
    axes.set_xticks(places, classes, rotation=0 if name == "digit" else 90)
    axes.set_ylim(0, 1.12 * max(predictions["fraction"].max(), true.max()))
    axes.tick_params(labelsize=8)
