"""How well a network knows digits that are moved: report 000-4B, CNN against dense network on shifted test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from pydantic import Field

from mnist_flow.analysis import style
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns, fetch_measured
from mnist_flow.analysis.statistics import compare_paired, summarise
from mnist_flow.config.analyze import StudySection
from mnist_flow.data.transforms import Direction

_STRAIGHT = ("right", "left", "up", "down")
# Columns that tell apart how images were moved.
CONDITION = ["fill", "direction", "pixels"]
_FILLS = {"wrap": "wrap-around", "zero": "zero fill"}


class Config(StudySection):
    directions: Annotated[list[Direction], Field(min_length=1)]
    # The model that others are compared with, seed by seed, as the figure's legend names it; None: no comparison.
    reference: str | None


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """Accuracy over the shift, from the evaluations of the runs.

    Raises:
        TrackingError: none of the runs is measured.
    """
    measured = repeat_unmoved(fetch_measured(runs, "shift"))
    title = style.build_title("Test images moved by whole pixels", measured)
    figure = plot_shift(measured, select_shifted(runs.published), study.directions, title)
    tables = {
        "": summarise(measured, ["model", *CONDITION], "accuracy"),
        "worst": summarise(select_worst(measured), ["model", "pixels"], "accuracy"),
        "differences": compare_paired(measured, CONDITION, "model", study.reference, "accuracy"),
    }
    return Drawing({"": figure}, {what: table for what, table in tables.items() if len(table)}, "accuracy")


def select_shifted(published: pd.DataFrame) -> pd.DataFrame:
    """What the reports print of shifted images: row, model (the experiment), fill, direction, pixels, accuracy.

    Args:
        published: from `query.build_published`.
    """
    printed = published[published["metric"] == "shifted_accuracy"].reset_index(drop=True)
    printed = printed.join(pd.DataFrame(list(printed["at"]), columns=CONDITION))
    printed = printed.rename(columns={"experiment": "model", "value": "accuracy"})
    return printed[["row", "model", *CONDITION, "accuracy"]]


def repeat_unmoved(measured: pd.DataFrame) -> pd.DataFrame:
    """Give the unmoved images a row for each direction, where they begin its line.

    Args:
        measured: of shift evaluations, a row a run and condition, with the columns model (what tells lines apart),
            seed, fill, direction, pixels and accuracy; 0 pixels once for all directions.

    Returns:
        The same columns: models, fills and directions in order of first appearance, pixels upwards.
    """
    moved = measured[measured["pixels"] > 0]
    unmoved = measured[measured["pixels"] == 0].drop(columns="direction")
    directions = moved[["fill", "direction"]].drop_duplicates()
    complete = pd.concat([moved, unmoved.merge(directions, on="fill")], ignore_index=True)
    return complete.sort_values(
        ["model", *CONDITION],
        key=lambda column: column if column.name == "pixels" else pd.Series(pd.factorize(column)[0]),
        kind="stable",
        ignore_index=True,
    )


def select_worst(measured: pd.DataFrame) -> pd.DataFrame:
    """Of each run and number of pixels, the row of the direction and fill in which the network knows the fewest images.

    Args:
        measured: of shift evaluations, a row a run and condition, see `repeat_unmoved`.
    """
    return measured.loc[measured.groupby(["run_id", "pixels"], sort=False)["accuracy"].idxmin()]


def plot_shift(table: pd.DataFrame, published: pd.DataFrame, directions: Sequence[str], title: str) -> Figure:
    """Accuracy over the pixels moved: a row of panels a fill, a column a direction, a line a model.

    Args:
        table: from `repeat_unmoved`, with the column data.name.
        published: from `select_shifted`: stars in their panel and their model's colour, where all runs are on MNIST.
        directions: the columns, of those measured.
    """
    models = list(table["model"].unique())
    fills = [fill for fill in _FILLS if fill in set(table["fill"])]
    columns = [direction for direction in directions if direction in set(table["direction"])]
    figure = style.make_figure(1.2 + 2.7 * max(len(columns), 2), 1.5 + 2.6 * len(fills) + 0.25 * len(models), title)
    grid = figure.subplots(len(fills), len(columns), sharex=True, sharey=True, squeeze=False)
    shown = published["fill"].isin(fills) & published["direction"].isin(columns) & published["model"].isin(models)
    stars = published[shown & (set(table["data.name"]) == {"mnist"})]
    for fill, row in zip(fills, grid, strict=True):
        row[0].set_ylabel(f"{_FILLS[fill]}\ntest accuracy")
        for direction, axes in zip(columns, row, strict=True):
            here = table[(table["fill"] == fill) & (table["direction"] == direction)]
            for index, model in enumerate(models):
                style.plot_replicates(axes, here[here["model"] == model], "pixels", "accuracy", index)
            printed = stars[(stars["fill"] == fill) & (stars["direction"] == direction)]
            for model, pixels, accuracy in zip(printed["model"], printed["pixels"], printed["accuracy"], strict=True):
                _plot_star(axes, pixels, accuracy, style.choose_line_style(models.index(model))["color"])
            axes.grid(alpha=0.3)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    for direction, top, bottom in zip(columns, grid[0], grid[-1], strict=True):
        top.set_title(direction.replace("_", " and "))
        bottom.set_xlabel("pixels" if direction in _STRAIGHT else "pixels along each axis")
    n = summarise(table, ["model", *CONDITION], "accuracy")
    handles = [style.make_handle(index, model, n[n["model"] == model]) for index, model in enumerate(models)]
    if len(stars):
        label = f"published ({', '.join(stars['row'].unique())})"
        handles.append(Line2D([], [], marker="*", markersize=13, color="white", markeredgecolor="black", label=label))
    figure.legend(handles=handles, loc="outside lower center", fontsize=9)
    return figure


def _plot_star(axes: Axes, pixels: int, accuracy: float, color: str) -> None:
    """Plot a published accuracy, with its number."""
    axes.plot(pixels, accuracy, "*", markersize=15, color=color, markeredgecolor="black", zorder=5)
    axes.annotate(
        f"{accuracy:.1%}",
        (pixels, accuracy),
        xytext=(9, 6),
        textcoords="offset points",
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        zorder=6,
    )
