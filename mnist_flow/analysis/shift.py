"""How well a network knows digits that are moved: report 000-4B, CNN against dense network on shifted test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mnist_flow.arrays import FloatArray
from mnist_flow.transforms import DIRECTIONS, Fill, shift_images

STRAIGHT = ("right", "left", "up", "down")
# Okabe-Ito without yellow and black.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = "osD^vP"
_FILLS = {"wrap": "wrap-around", "zero": "zero fill"}


class PublishedPoint(NamedTuple):
    """An accuracy that a report prints."""

    row: str
    model: str
    fill: Fill
    direction: str
    pixels: int
    accuracy: float


PUBLISHED = (
    PublishedPoint("000-4B", "cnn_45_60", "wrap", "right", 3, 0.901),
    PublishedPoint("000-4B", "mlp_100", "wrap", "right", 3, 0.571),
)


def summarise(tables: pd.DataFrame) -> pd.DataFrame:
    """Runs to one row a model, fill, direction and number of pixels.

    Args:
        tables: of shift evaluations, a row a run and condition, with the columns model.name, seed, run_id, fill,
            direction, pixels, accuracy, as `tracking.fetch_tables` returns them. Who compares several settings of one
            model puts their labels into model.name.

    Returns:
        Columns model, fill, direction, pixels, n (runs), mean, std (sample standard deviation, ddof = 1; NaN for
        n = 1). The unmoved images, pixels 0, have a row for each direction.
    """
    moved = tables[tables["pixels"] > 0]
    unmoved = tables[tables["pixels"] == 0].drop(columns="direction")
    directions = moved[["fill", "direction"]].drop_duplicates()
    complete = pd.concat([moved, unmoved.merge(directions, on="fill")], ignore_index=True)
    grouped = complete.groupby(["model.name", "fill", "direction", "pixels"])["accuracy"]
    summary = grouped.agg(n="count", mean="mean", std="std").reset_index()
    return summary.rename(columns={"model.name": "model"})


def plot_shift(
    table: pd.DataFrame,
    summary: pd.DataFrame,
    published: Sequence[PublishedPoint] = PUBLISHED,
    directions: Sequence[str] = STRAIGHT,
) -> Figure:
    """Accuracy over the pixels moved: a row of panels a fill, a column a direction, a line a model.

    Every run is a faint point; means are joined by a line with ± one sample standard deviation.

    Args:
        table: as `summarise` takes it.
        summary: from `summarise`.
        published: drawn as stars in the panel and colour that they belong to, where all runs are on MNIST; those of
            models that are not in the table are left out.
        directions: the columns, of those measured.
    """
    models = list(dict.fromkeys(summary["model"]))
    fills = [fill for fill in _FILLS if fill in set(summary["fill"])]
    columns = [direction for direction in directions if direction in set(summary["direction"])]
    figure = Figure(figsize=(1.2 + 2.7 * max(len(columns), 2), 1.5 + 2.6 * len(fills) + 0.25 * len(models)))
    figure.set_layout_engine("constrained")
    grid = figure.subplots(len(fills), len(columns), sharex=True, sharey=True, squeeze=False)
    data = sorted(set(table.get("data.name", ["mnist"])))
    known = [point for point in published if point.model in models and data == ["mnist"]]
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
                axes.set_xlabel("pixels along each axis" if direction not in STRAIGHT else "pixels")
            if column == 0:
                axes.set_ylabel(f"{_FILLS[fill]}\ntest accuracy")
    figure.suptitle(f"Test images of {' and '.join(data)} moved by whole pixels")
    handles = [_make_handle(summary, model, index) for index, model in enumerate(models)]
    if any(point.fill in fills and point.direction in columns for point in known):
        label = f"published ({', '.join(dict.fromkeys(point.row for point in known))})"
        handles.append(Line2D([], [], marker="*", markersize=13, color="white", markeredgecolor="black", label=label))
    figure.legend(handles=handles, loc="outside lower center", fontsize=9)
    return figure


def plot_shifted_digits(
    images: FloatArray, pixels: int, fills: Sequence[Fill] = ("wrap", "zero"), directions: Sequence[str] = STRAIGHT
) -> Figure:
    """Digits as they are, and moved: a column a digit, a row a fill and direction.

    Args:
        images: float32 (n, 28, 28, 1) in [0, 1], as they are; n at least 1.
        pixels: how far to move them.
        fills: wrap, zero.
        directions: of `transforms.DIRECTIONS`.
    """
    rows = [("original", images)]
    for fill in fills:
        for direction in directions:
            dx, dy = DIRECTIONS[direction]
            label = f"{pixels} pixels {direction.replace('_', ' and ')}, {_FILLS[fill]}"
            rows.append((label, shift_images(images, pixels * dx, pixels * dy, fill)))
    label_width, size = 2.6, 0.8
    width, height = label_width + size * len(images) + 0.1, size * len(rows) + 0.1
    figure = Figure(figsize=(width, height))
    # One axes for the whole grid: a hundred of their own would take seconds to draw.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    for row, (label, moved) in enumerate(rows):
        axes.text(label_width - 0.1, (row + 0.5) * size, label, ha="right", va="center", fontsize=9)
        for column, image in enumerate(moved):
            left, top = label_width + column * size, row * size + 0.05
            # On black, so that one sees where the image ends and what came in.
            axes.imshow(
                np.clip(image[:, :, 0], 0, 1),
                cmap="gray",
                vmin=0,
                vmax=1,
                extent=(left, left + size - 0.06, top + size - 0.06, top),
            )
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


def _plot_model(
    axes: Axes, table: pd.DataFrame, summary: pd.DataFrame, panel: tuple[str, str, str], index: int
) -> None:
    """One model's replicates, means and standard deviations; `panel` is its name, the fill and the direction."""
    model, fill, direction = panel
    color, marker = _COLORS[index % len(_COLORS)], _MARKERS[index % len(_MARKERS)]
    here = (table["model.name"] == model) & (table["fill"] == fill)
    points = table[here & ((table["direction"] == direction) | (table["pixels"] == 0))]
    axes.plot(points["pixels"], points["accuracy"], marker, color=color, alpha=0.3, markersize=4, linestyle="none")
    means = summary[
        (summary["model"] == model) & (summary["fill"] == fill) & (summary["direction"] == direction)
    ].sort_values("pixels")
    axes.errorbar(
        means["pixels"],
        means["mean"],
        yerr=means["std"].fillna(0),
        color=color,
        marker=marker,
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
        color=_COLORS[index % len(_COLORS)],
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


def _make_handle(summary: pd.DataFrame, model: str, index: int) -> Line2D:
    counts = summary.loc[summary["model"] == model, "n"]
    n = f"n = {counts.min()}" if counts.nunique() == 1 else f"n = {counts.min()} to {counts.max()}"
    return Line2D(
        [],
        [],
        color=_COLORS[index % len(_COLORS)],
        marker=_MARKERS[index % len(_MARKERS)],
        markerfacecolor="white",
        label=f"{model}: mean ± sample standard deviation, {n}; faint: every run",
    )
