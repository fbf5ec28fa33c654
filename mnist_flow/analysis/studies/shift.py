"""How well a network knows digits that are moved: report 000-4B, CNN against dense network on shifted test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

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
from mnist_flow.data.transforms import Direction, Fill

_STRAIGHT = ("right", "left", "up", "down")
# Columns that tell apart how images were moved.
_CONDITION = ("fill", "direction", "pixels")
_FILLS = {"wrap": "wrap-around", "zero": "zero fill"}


class Config(StudySection):
    directions: Annotated[list[Direction], Field(min_length=1)]
    # The model that others are compared with, seed by seed, as the figure's legend names it; None: no comparison.
    reference: str | None


class PublishedPoint(NamedTuple):
    """An accuracy that a report prints."""

    row: str
    model: str
    fill: Fill
    direction: str
    pixels: int
    accuracy: float


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """Accuracy over the shift, from the evaluations of the runs.

    Raises:
        TrackingError: none of the runs is measured.
    """
    measured = fetch_measured(runs, "shift")
    summary = summarise_shifts(measured)
    title = style.build_title("Test images moved by whole pixels", measured)
    figure = plot_shift(measured, summary, find_published(runs), study.directions, title)
    differences = compare_models(measured, study.reference)
    tables = {"": summary} | ({"differences": differences} if len(differences) else {})
    return Drawing({"": figure}, tables, "accuracy")


def find_published(runs: StudyRuns) -> list[PublishedPoint]:
    """What the reports print of shifted images; the model is the experiment's name."""
    printed = runs.published[runs.published["metric"] == "shifted_accuracy"]
    columns = (printed[name] for name in ("row", "experiment", "at", "value"))
    return [
        PublishedPoint(row, experiment, accuracy=value, **at)
        for row, experiment, at, value in zip(*columns, strict=True)
    ]


def summarise_shifts(tables: pd.DataFrame) -> pd.DataFrame:
    """Runs to one row a model, fill, direction and number of pixels, see `statistics.summarise`.

    Args:
        tables: of shift evaluations, a row a run and condition, with the columns model (what tells lines apart), seed,
            fill, direction, pixels, accuracy.

    Returns:
        Models, fills and directions in order of first appearance, pixels upwards. The unmoved images, pixels 0, have a
        row for each direction.
    """
    return summarise(_repeat_unmoved(tables), ["model", *_CONDITION], "accuracy")


def compare_models(tables: pd.DataFrame, reference: str | None) -> pd.DataFrame:
    """Differences of accuracy from a model under the same condition, seed by seed, see `statistics.compare_paired`.

    Args:
        tables: as `summarise_shifts` takes them.
        reference: the model that others are compared with; without rows if None, or not among the models.
    """
    if reference is None:
        return pd.DataFrame()
    return compare_paired(_repeat_unmoved(tables), _CONDITION, "model", reference, "accuracy")


def _repeat_unmoved(tables: pd.DataFrame) -> pd.DataFrame:
    """The tables in the order of a summary, with the unmoved images for each direction."""
    moved = tables[tables["pixels"] > 0]
    unmoved = tables[tables["pixels"] == 0].drop(columns="direction")
    directions = moved[["fill", "direction"]].drop_duplicates()
    complete = pd.concat([moved, unmoved.merge(directions, on="fill")], ignore_index=True)
    ranks = {name: {value: rank for rank, value in enumerate(tables[name].unique())} for name in ("model", "fill")}
    ranks["direction"] = {value: rank for rank, value in enumerate(moved["direction"].unique())}
    return complete.sort_values(
        ["model", *_CONDITION],
        key=lambda column: column.map(ranks[column.name]) if column.name in ranks else column,
        kind="stable",
        ignore_index=True,
    )


def plot_shift(
    table: pd.DataFrame,
    summary: pd.DataFrame,
    published: Sequence[PublishedPoint],
    directions: Sequence[str],
    title: str,
) -> Figure:
    """Accuracy over the pixels moved: a row of panels a fill, a column a direction, a line a model.

    Every run is a faint point; means are joined by a line with ± one sample standard deviation.

    Args:
        table: as `summarise_shifts` takes it, with the column data.name.
        summary: from `summarise_shifts`.
        published: drawn as stars in the panel and colour that they belong to, where all runs are on MNIST; those of
            models that are not in the table are left out.
        directions: the columns, of those measured.
        title: of the figure.
    """
    models = list(dict.fromkeys(summary["model"]))
    fills = [fill for fill in _FILLS if fill in set(summary["fill"])]
    columns = [direction for direction in directions if direction in set(summary["direction"])]
    figure = Figure(figsize=(1.2 + 2.7 * max(len(columns), 2), 1.5 + 2.6 * len(fills) + 0.25 * len(models)))
    figure.set_layout_engine("constrained")
    grid = figure.subplots(len(fills), len(columns), sharex=True, sharey=True, squeeze=False)
    is_mnist = set(table["data.name"]) == {"mnist"}
    known = [point for point in published if point.model in models and is_mnist]
    for row, fill in enumerate(fills):
        for column, direction in enumerate(columns):
            axes = grid[row, column]
            for index, model in enumerate(models):
                _plot_model(axes, table, summary, (model, fill, direction), index)
            for point in known:
                if (point.fill, point.direction) == (fill, direction):
                    _plot_published(axes, point, models.index(point.model))
            axes.grid(alpha=0.3)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
            if row == 0:
                axes.set_title(direction.replace("_", " and "))
            if row == len(fills) - 1:
                axes.set_xlabel("pixels along each axis" if direction not in _STRAIGHT else "pixels")
            if column == 0:
                axes.set_ylabel(f"{_FILLS[fill]}\ntest accuracy")
    figure.suptitle(title, fontsize=11)
    n = summary.groupby("model")["n"]
    handles = [style.make_handle(index, model, n.get_group(model)) for index, model in enumerate(models)]
    if any(point.fill in fills and point.direction in columns for point in known):
        label = f"published ({', '.join(dict.fromkeys(point.row for point in known))})"
        handles.append(Line2D([], [], marker="*", markersize=13, color="white", markeredgecolor="black", label=label))
    figure.legend(handles=handles, loc="outside lower center", fontsize=9)
    return figure


def _plot_model(
    axes: Axes, table: pd.DataFrame, summary: pd.DataFrame, panel: tuple[str, str, str], index: int
) -> None:
    """One model's replicates, means and standard deviations; `panel` is its name, the fill and the direction."""
    model, fill, direction = panel
    look = style.choose_line_style(index)
    here = (table["model"] == model) & (table["fill"] == fill)
    points = table[here & ((table["direction"] == direction) | (table["pixels"] == 0))]
    axes.plot(
        *(points["pixels"], points["accuracy"], look["marker"]),
        color=look["color"],
        alpha=0.3,
        markersize=4,
        linestyle="none",
    )
    means = summary[
        (summary["model"] == model) & (summary["fill"] == fill) & (summary["direction"] == direction)
    ].sort_values("pixels")
    axes.errorbar(
        means["pixels"],
        means["mean"],
        yerr=means["std"].fillna(0),
        **look,
        markersize=5,
        markerfacecolor="white",
        capsize=3,
    )


def _plot_published(axes: Axes, point: PublishedPoint, index: int) -> None:
    axes.plot(
        point.pixels,
        point.accuracy,
        marker="*",
        markersize=15,
        color=style.choose_line_style(index)["color"],
        markeredgecolor="black",
        linestyle="none",
        zorder=5,
    )
    axes.annotate(
        f"{point.accuracy:.1%}",
        (point.pixels, point.accuracy),
        xytext=(9, 6),
        textcoords="offset points",
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        zorder=6,
    )
