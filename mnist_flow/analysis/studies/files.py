"""How well networks know corrupted copies of the test set, such as MNIST-C: a row a condition, models side by side."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from mnist_flow.analysis import style
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns, fetch_measured
from mnist_flow.analysis.statistics import compare_paired, count_replicates, summarise
from mnist_flow.config.analyze import StudySection
from mnist_flow.metrics.robustness import UNCHANGED


class Config(StudySection):
    # The model that others are compared with, seed by seed, as the figure's legend names it; None: no comparison.
    reference: str | None


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """Accuracy under each condition, from the evaluations of the runs.

    Raises:
        TrackingError: none of the runs is measured.
    """
    measured = fetch_measured(runs, "files", " measure.files.path=DIR")
    summary = summarise(measured, ["model", "condition"], "accuracy")
    tables = {"": summary, "differences": compare_paired(measured, ["condition"], "model", study.reference, "accuracy")}
    figure = plot_conditions(measured, style.build_title("Corrupted copies of the test set", measured))
    return Drawing({"": figure}, {what: table for what, table in tables.items() if len(table)}, "accuracy")


def order_conditions(measured: pd.DataFrame) -> list[str]:
    """Conditions by their mean accuracy, the best first; before them the test set itself."""
    means = measured.groupby("condition")["accuracy"].mean().sort_values(ascending=False, kind="stable")
    return sorted(means.index, key=lambda condition: condition != UNCHANGED)


def plot_conditions(measured: pd.DataFrame, title: str) -> Figure:
    """Conditions from top to bottom, the best known first; each model's runs, mean and spread beside each other.

    Args:
        measured: one row a run and condition: model, condition, accuracy, run_id, data.name.
    """
    conditions, models = order_conditions(measured), list(dict.fromkeys(measured["model"]))
    # Models stand one above the other within a condition's row.
    row_height = max(0.34, 0.14 * len(models))
    figure = style.make_figure(9, row_height * len(conditions) + 1.6 + 0.22 * len(models), title)
    axes = figure.subplots()
    for index, model in enumerate(models):
        offset = 0.7 * ((index + 0.5) / len(models) - 0.5)
        places = {condition: row + offset for row, condition in enumerate(conditions)}
        runs = measured[measured["model"] == model]
        style.plot_rows(axes, runs.assign(place=runs["condition"].map(places)), "accuracy", index, size=5)
    for row in range(1, len(conditions)):
        axes.axhline(row - 0.5, color="0.9", linewidth=0.8)
    axes.set_yticks(range(len(conditions)), conditions, fontsize=9)
    axes.set(ylim=(len(conditions) - 0.5, -0.5), xlabel="accuracy")
    axes.xaxis.set_major_formatter(style.format_percent)
    axes.grid(alpha=0.3, axis="x")
    n = count_replicates(measured, ["model"])
    handles = [style.make_handle(index, model, n[n["model"] == model], "none") for index, model in enumerate(models)]
    figure.legend(handles=handles, loc="outside lower center", fontsize=9, frameon=False)
    return figure
