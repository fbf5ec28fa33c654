"""What the figures share: colours, markers, words, baselines, panels and legends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mnist_flow.analysis.statistics import summarise
from mnist_flow.config.train import FOLD
from mnist_flow.jobs.replicates import REPLICATES

# Okabe-Ito without yellow, which is faint on white; black is for what was published.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = "os^Dv<>"
LINE_STYLES = ("-", "--", ":")
PUBLISHED_MARKERS = "DsP^vX"
# Error of 784-500-300-10 in the literature.
BASELINES = {
    "LeCun's MNIST page: 500+300 HU, weight decay, 1.53 % error": 0.9847,
    "Hinton, Osindero and Teh (2006): 500-300, 1.51 % error": 0.9849,
}
PROTOCOLS = {
    "folds": "settings chosen on folds of the training images",
    "holdout": "settings chosen on held-out training images",
    "test": "validated on the test set: choosing is optimistic",
}
# Worse runs are not held against the baselines.
_NEAR_BASELINES = 0.9
_FONT_SIZE = 8


def format_percent(fraction: float, _: object = None) -> str:
    """0.985 as `98.5 %`, for ticks; those in the margin above 100 % have no text."""
    return f"{100 * fraction:.4g} %" if fraction < 1 + 1e-9 else ""


def describe_n(summary: pd.DataFrame) -> str:
    """How many replicates stand behind each mean: `n = 3`, `n = 2 to 3`, `n = 5 folds` or `n = 3 seeds × 5 folds`.

    Args:
        summary: from `statistics.summarise` or `statistics.count_replicates`.
    """
    if REPLICATES in summary and summary[REPLICATES].str.endswith("folds").any():
        return f"n = {' or '.join(summary[REPLICATES].unique())}"
    counts = summary["n"]
    return f"n = {counts.min()}" if counts.nunique() == 1 else f"n = {counts.min()} to {counts.max()}"


def name_replicates(table: pd.DataFrame) -> str:
    """What the spread is over: the runs, or the folds, of which each counts with the mean of its seeds."""
    return "folds, each the mean of its seeds" if has_folds(table) else "runs"


def has_folds(table: pd.DataFrame) -> bool:
    """Whether some of the runs are folds of their training images."""
    return FOLD in table and bool(table[FOLD].notna().any())


def choose_line_style(index: int) -> dict[str, Any]:
    """Colour, marker and dashes of the line with this number; all differ for the first 18."""
    return {
        "color": COLORS[index % len(COLORS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINE_STYLES[index // len(COLORS) % len(LINE_STYLES)],
    }


def is_accuracy(metric: str) -> bool:
    """Whether a metric is a fraction of the images, to be told in percent."""
    return metric.endswith("accuracy")


def describe_metric(metric: str) -> str:
    """The name of a metric for an axis."""
    names = {
        "test_cross_entropy": "test cross-entropy (without the penalty)",
        "test_loss": "test loss (cross-entropy + penalty)",
        "val_loss": "validation loss (cross-entropy + penalty)",
        "val_accuracy": "validation accuracy",
        "fit_seconds": "training time (s)",
        "n_parameters": "number of parameters",
    }
    return names.get(metric, metric.replace("_", " "))


def build_title(what: str, table: pd.DataFrame) -> str:
    """What is shown, and below it the data and the validation protocol of the runs."""
    data = " and ".join(sorted(set(table["data.name"])))
    folded = table[FOLD].notna() if FOLD in table else pd.Series(False, index=table.index)
    protocols = set(table["data.validation"].mask(folded, "folds"))
    protocol = " / ".join(text for name, text in PROTOCOLS.items() if name in protocols)
    return f"{what}\n{data}, {protocol}"


def make_figure(width: float, height: float, title: str) -> Figure:
    """Make an empty figure of some inches with a title, whose parts matplotlib arranges."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, fontsize=11)
    return figure


def make_panels(
    n: int, n_columns: int, panel_size: tuple[float, float], margin: float, title: str, share: bool = False
) -> tuple[Figure, list[Axes]]:
    """Make a figure with a grid of panels, filled row by row.

    Args:
        n: panels, at least 1.
        n_columns: at most.
        panel_size: width and height of each, inches.
        margin: height of all that is above and below the panels, inches.
        share: one range for the axes of all panels.

    Returns:
        The figure and the axes of its `n` panels.
    """
    n_columns = min(n_columns, n)
    n_rows = math.ceil(n / n_columns)
    width, height = panel_size
    figure = make_figure(max(6.4, width * n_columns), height * n_rows + margin, title)
    grid = list(figure.subplots(n_rows, n_columns, squeeze=False, sharex=share, sharey=share).flat)
    for number, spare in enumerate(grid[n:], start=n):
        spare.remove()
        # The panel above is now the lowest of its column, whose numbers a shared axis would leave out.
        if number >= n_columns:
            grid[number - n_columns].xaxis.set_tick_params(labelbottom=True)
    return figure, grid[:n]


def plot_rows(axes: Axes, runs: pd.DataFrame, metric: str, index: int, size: int) -> None:
    """Plot every run as a faint point, and means ± one sample standard deviation, from left to right.

    Args:
        runs: one row a run, with `place`, its height on the axes.
        metric: column on the horizontal axis.
        index: number of the model, from 0: its colour and marker.
        size: of the means' markers, points.
    """
    look = choose_line_style(index) | {"linestyle": "none"}
    axes.plot(runs[metric], runs["place"], **look, alpha=0.35, markersize=4)
    means = summarise(runs, ["place"], metric)
    look |= {"markersize": size, "markerfacecolor": "white", "capsize": 3}
    axes.errorbar(means["mean"], means["place"], xerr=means["std"].fillna(0), **look)


def plot_replicates(axes: Axes, runs: pd.DataFrame, x: str, metric: str, index: int, label: str | None = None) -> None:
    """Plot every run as a faint point, and the means joined by a line, with ± one sample standard deviation.

    Args:
        runs: one row a run and value of `x`, all in one colour.
        x: column from left to right.
        metric: column from bottom to top.
        index: number of the line, which chooses its look.
        label: for the legend.
    """
    look, means = choose_line_style(index), summarise(runs, [x], metric).sort_values(x)
    axes.plot(runs[x], runs[metric], look["marker"], color=look["color"], alpha=0.3, markersize=4)
    options: dict[str, Any] = {**look, "markersize": 5, "markerfacecolor": "white", "capsize": 3}
    axes.errorbar(means[x], means["mean"], yerr=means["std"].fillna(0), label=label, **options)


def plot_published(
    axes: Axes, x: Sequence[float] | pd.Series, y: Sequence[float] | pd.Series, index: int, label: str, **options: Any
) -> None:
    """Plot published values as open black marks, one kind of mark a report, whose number is `index`."""
    marker = PUBLISHED_MARKERS[index % len(PUBLISHED_MARKERS)]
    axes.plot(x, y, marker, color="k", fillstyle="none", label=label, zorder=4, **options)


def has_baselines(table: pd.DataFrame, metric: str) -> bool:
    """Whether the baselines can be compared with the runs: accuracies on MNIST, at least one of them above 90 %."""
    comparable = metric in ("test_accuracy", "val_accuracy") and set(table["data.name"]) == {"mnist"}
    return comparable and bool(table[metric].max() > _NEAR_BASELINES)


def add_baselines(axes: Axes, vertical: bool = False) -> None:
    """Add lines at the accuracies that the literature gives for 784-500-300-10."""
    add_line = axes.axvline if vertical else axes.axhline
    for style, (name, value) in zip(("--", ":"), BASELINES.items(), strict=True):
        add_line(value, color="0.35", linestyle=style, linewidth=1, label=name)


def add_legend(figure: Figure, all_axes: Sequence[Axes], title: str | None = None) -> None:
    """Add one legend below all panels, with each name once."""
    entries: dict[str, Any] = {}
    for axes in all_axes:
        listed = list(zip(*axes.get_legend_handles_labels(), strict=True))
        # What was measured comes before what was published.
        for handle, label in sorted(listed, key=lambda entry: not isinstance(entry[0], ErrorbarContainer)):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(
            entries.values(),
            entries.keys(),
            loc="outside lower center",
            ncols=2 if len(entries) > 3 else 1,
            fontsize=_FONT_SIZE,
            title=title,
            title_fontsize=_FONT_SIZE,
            frameon=False,
        )


def make_handle(index: int, name: str, counts: pd.DataFrame, linestyle: str = "-") -> Line2D:
    """Make the legend entry of a line whose runs are faint points around hollow means; `describe_n` tells `counts`."""
    look = choose_line_style(index)
    label = f"{name}: mean ± sample standard deviation, {describe_n(counts)}; faint: every run"
    return Line2D([], [], **{**look, "linestyle": linestyle}, markerfacecolor="white", label=label)
