"""Gaussian noise on the input: report 000-3A; and what a run that learned nothing answers: 000-3A and 003-2C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mnist_flow.analysis import style
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.matrices import N_DIGITS, fetch_confusions
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.runs import label_panels
from mnist_flow.analysis.statistics import summarise
from mnist_flow.analysis.studies import compare, curves
from mnist_flow.data.arrays import IntArray

_PARAM = "noise.stddev"
# A run whose answers are one digit more often than this has learned nothing.
_ONE_ANSWER = 0.99


class Config(compare.Config):
    """The keys of `compare`, with the standard deviation of the noise as x."""

    x: Literal["noise.stddev"]


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """Accuracy over the noise, the digits that the runs answer, and their epoch curves.

    Raises:
        TrackingError: no run has a confusion matrix, or none has epoch curves.
    """
    table = runs.table
    # No noise is noise of no spread.
    stddev = table[_PARAM].fillna(0.0) if _PARAM in table else pd.Series(0.0, index=table.index)
    runs = replace(runs, table=table.assign(**{_PARAM: stddev}))
    drawing = compare.draw(runs, study)
    if stddev.nunique() == 1:
        # One noise is no axis; the curves show how the runs end.
        del drawing.figures[""]
    answers = build_answers(label_panels(table), table["run_id"], fetch_confusions(table))
    epochs = curves.fetch_curves(table)
    drawing.figures["predictions"] = plot_answers(
        answers, style.build_title("What the networks answer on the test set", table)
    )
    for quantity in ("accuracy", "loss"):
        drawing.figures[f"curves_{quantity}"] = curves.plot_curves(
            epochs, runs, quantity, style.build_title("Epoch curves", table)
        )
    drawing.tables["predictions"] = summarise_answers(answers)
    return drawing


def build_answers(panels: pd.Series, run_ids: pd.Series, confusions: Mapping[str, IntArray]) -> pd.DataFrame:
    """How often each run answers each digit: columns panel, run_id, digit, share (of its answers), true_share."""
    parts = []
    for panel, run_id in zip(panels, run_ids, strict=True):
        if run_id in confusions:
            counts = confusions[run_id]
            answers = {"digit": range(N_DIGITS), "share": counts.sum(axis=0) / counts.sum()}
            parts.append(
                pd.DataFrame(
                    {"panel": panel, "run_id": run_id, **answers, "true_share": counts.sum(axis=1) / counts.sum()}
                )
            )
    return pd.concat(parts, ignore_index=True)


def summarise_answers(answers: pd.DataFrame) -> pd.DataFrame:
    """Replicates to one row a panel and digit, see `statistics.summarise`.

    Beside it only_answer, the number of runs that hardly give another.
    """
    summary = summarise(answers, ["panel", "digit"], "share")
    one = answers[answers["share"] > _ONE_ANSWER].groupby(["panel", "digit"]).size().rename("only_answer")
    summary = summary.merge(one.reset_index(), on=["panel", "digit"], how="left")
    return summary.assign(only_answer=summary["only_answer"].fillna(0).astype(int))


def plot_answers(answers: pd.DataFrame, title: str) -> Figure:
    """A histogram of the answers a panel: bars are means, points are runs, the line is how often the digits occur.

    Args:
        answers: from `build_answers`.
        title: of the figure.
    """
    panels = list(dict.fromkeys(answers["panel"]))
    figure, all_axes = style.make_panels(len(panels), 4, (3.6, 3.0), 1.0, title)
    summary = summarise_answers(answers)
    for axes, panel in zip(all_axes, panels, strict=True):
        _plot_histogram(axes, answers[answers["panel"] == panel], summary[summary["panel"] == panel])
        axes.set_title(f"{panel}\n{describe_answers(summary[summary['panel'] == panel])}", fontsize=9)
    style.add_legend(figure, all_axes)
    return figure


def describe_answers(summary: pd.DataFrame) -> str:
    """What the runs of one panel answer, for its title."""
    n, stuck = summary["n"].max(), summary["only_answer"].sum()
    if not stuck:
        return f"n = {n}"
    digits = summary.loc[summary["only_answer"] > 0, "digit"]
    return f"n = {n}, {stuck} of them answer{'s' if stuck == 1 else ''} only {' or '.join(map(str, digits))}"


def _plot_histogram(axes: Axes, answers: pd.DataFrame, summary: pd.DataFrame) -> None:
    axes.bar(summary["digit"], summary["mean"], color=style.COLORS[4], label="mean of the runs")
    axes.plot(
        answers["digit"], answers["share"], "o", color=style.COLORS[0], markersize=3.5, alpha=0.6, label="one run"
    )
    true = answers.groupby("digit")["true_share"].first()
    edges = np.arange(N_DIGITS + 1) - 0.5
    axes.stairs(true, edges, color="k", linewidth=1, label="share of the digit in the test set")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("digit answered", fontsize=9)
    axes.set_ylabel("share of the answers", fontsize=9)
    axes.set(xticks=range(N_DIGITS), ylim=(0, 1.12 * max(answers["share"].max(), true.max())))
    axes.tick_params(labelsize=8)
