"""Where the classes lie among the latents of autoencoders: report 002-4D-3."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from mnist_flow import tracking
from mnist_flow.analysis import style
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns, fetch_measured
from mnist_flow.analysis.statistics import summarise
from mnist_flow.config.analyze import StudySection
from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.data.dataset import name_class
from mnist_flow.runtime.terminal import format_mean

_MEASURE = "latent"
# Paul Tol's muted scheme, which the colour-blind can tell apart, and black; sronpersonalpages.nl/~pault.
CLASS_COLORS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#000000"),
)
# A few points far away would press all others together.
_SHOWN_FRACTION = 0.995
# Between the classes that are written into a panel, in fractions of its sides.
_LABEL_GAP = 0.045
# Width of a letter and height of a line of these classes, in the same fractions.
_LETTER_WIDTH, _LINE_HEIGHT = 0.025, 0.04
# Of a line above a panel; more would run into the next one.
_HEADING_LETTERS = 78


class Config(StudySection):
    """The study has no keys of its own."""


class LatentPanel(NamedTuple):
    """The latents of one run."""

    title: str
    points: FloatArray  # float32 (n, 2)
    labels: IntArray  # (n,), 0, 1, …
    axis_labels: tuple[str, str]
    class_names: tuple[str, ...]  # of the labels 0, 1, …


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """Of each setting the latents of the run with the lowest seed, and the accuracy of nearest neighbours over all.

    Raises:
        TrackingError: none of the runs is measured.
    """
    measured = fetch_measured(runs, _MEASURE)
    summary = summarise(measured, ["model", "latent", "k", "neighbours_from"], "accuracy")
    first = measured.sort_values("seed", kind="stable").drop_duplicates("model").set_index("model")
    evaluations = tracking.fetch_evaluations(_MEASURE, sorted(set(runs.table["experiment_id"])), list(first["run_id"]))
    panels = [
        build_panel(
            model,
            int(first.loc[model, "seed"]),
            tracking.fetch_arrays(evaluations[first.loc[model, "run_id"]][-1], f"samples/{_MEASURE}.npz"),
            summary[summary["model"] == model],
        )
        for model in dict.fromkeys(measured["model"])
    ]
    what = f"Latents of the clean test images, coloured by {_name_classes(panels)}"
    figure = plot_latent(panels, style.build_title(what, measured))
    return Drawing({"": figure}, {"": summary}, "accuracy")


def build_panel(model: str, seed: int, arrays: dict[str, np.ndarray], summary: pd.DataFrame) -> LatentPanel:
    """What a panel shows and says.

    Args:
        model: what tells the panels apart.
        seed: of the run drawn.
        arrays: points, labels, explained and latent, from `measures.latent`, and class_names where they were logged.
        summary: rows of the model, with k, n, mean and std of the accuracy.
    """
    latent, explained = int(arrays["latent"]), arrays["explained"]
    size = f"{latent:,} dimension{'s' if latent > 1 else ''}"
    if len(explained):
        first, second = (style.format_percent(float(fraction)) for fraction in explained.round(3))
        shown = f"latent space of {size}, its first two principal components"
        names = (f"first component ({first} of the variance)", f"second component ({second})")
    else:
        shown = f"latent space of {size}"
        names = ("first latent dimension", "second latent dimension" if latent > 1 else "")
    lines = [f"{model}, run of seed {seed}: {shown}"]
    for k, n, mean, std in zip(*(summary[name] for name in ("k", "n", "mean", "std")), strict=True):
        right = format_mean(100 * mean, 100 * std, ".2f", " % right")
        lines.append(f"{k} nearest neighbours in all dimensions: {right} (n = {n})")
    class_names = arrays.get("class_names", np.arange(arrays["labels"].max() + 1))
    wrapped = [part for line in lines for part in textwrap.wrap(line, _HEADING_LETTERS, break_long_words=False)]
    return LatentPanel("\n".join(wrapped), arrays["points"], arrays["labels"], names, tuple(map(str, class_names)))


def plot_latent(panels: Sequence[LatentPanel], title: str) -> Figure:
    """A panel a setting: every test image a point in the colour of its class, the class itself near the median."""
    figure, all_axes = style.make_panels(len(panels), 2, (6.2, 6.0), 0.9, title)
    for axes, panel in zip(all_axes, panels, strict=True):
        _plot_panel(axes, panel)
    # Panels of several data sets have several classes.
    handles = {
        name: handle for axes in all_axes for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=10,
        markerscale=4,
        fontsize=10,
        title=f"{_name_classes(panels)} (written at the median of its points, or beside it)",
        title_fontsize=9,
        handletextpad=0.1,
        columnspacing=1.2,
    )
    return figure


def _name_classes(panels: Sequence[LatentPanel]) -> str:
    return name_class([name for panel in panels for name in panel.class_names])


def separate_labels(places: np.ndarray, least: float) -> np.ndarray:
    """Places (n, 2), pushed apart until no two are nearer than `least`, or after a hundred steps."""
    # Those on one spot have no direction to go.
    places = places + 1e-6 * np.arange(len(places))[:, None]
    for _ in range(100):
        gaps = places[:, None] - places[None]
        distances = np.linalg.norm(gaps, axis=2)
        np.fill_diagonal(distances, np.inf)
        missing = np.maximum(least - distances, 0)
        if not missing.any():
            break
        places = places + 0.5 * (gaps * (missing / distances)[:, :, None]).sum(axis=1)
    return places


def fit_labels(places: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Places (n, 2) of names that `separate_labels` gave, moved until none covers another or leaves the panel.

    Those that are in each other's way are moved up and down, since names are wider than high.
    """
    widths = _LETTER_WIDTH * np.array([len(name) for name in names])
    # A name that is wider than the panel stays in its middle.
    margins = np.stack([np.minimum(widths / 2, 0.5), np.full(len(names), _LINE_HEIGHT / 2)], axis=1)
    places = np.clip(places, margins, 1 - margins)
    beside = np.abs(places[:, None, 0] - places[None, :, 0]) < (widths[:, None] + widths[None]) / 2
    for _ in range(100):
        gaps = places[:, None, 1] - places[None, :, 1]
        missing = np.where(beside, np.maximum(_LINE_HEIGHT - np.abs(gaps), 0), 0)
        np.fill_diagonal(missing, 0)
        if missing.max() < 1e-3:
            break
        directions = np.where(gaps == 0, np.sign(np.arange(len(names))[:, None] - np.arange(len(names))), np.sign(gaps))
        places[:, 1] += 0.5 * (missing * directions).sum(axis=1)
        places = np.clip(places, margins, 1 - margins)
    return places


def _plot_panel(axes: Axes, panel: LatentPanel) -> None:
    points, labels = panel.points, panel.labels
    # In one call, in the order of the images: class by class, the last would hide the others.
    size = float(np.clip(50_000 / len(points), 5, 20))
    colors = np.resize(CLASS_COLORS, len(panel.class_names))
    axes.scatter(points[:, 0], points[:, 1], c=colors[labels], s=size, alpha=0.55, linewidths=0, rasterized=True)
    for name, color in zip(panel.class_names, colors, strict=True):
        # For the legend.
        axes.scatter([], [], s=5, color=color, label=name)
    low, high = np.quantile(points, [1 - _SHOWN_FRACTION, _SHOWN_FRACTION], axis=0)
    margin = np.where(high > low, 0.05 * (high - low), 1.0)
    low, high = low - margin, high + margin
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    present = np.unique(labels)
    medians = np.array([np.median(points[labels == label], axis=0) for label in present])
    separate = separate_labels((medians - low) / (high - low), _LABEL_GAP)
    for label, place in zip(
        present, fit_labels(separate, [panel.class_names[label] for label in present]), strict=True
    ):
        axes.annotate(
            panel.class_names[label],
            place,
            xycoords="axes fraction",
            ha="center",
            va="center",
            fontsize=15,
            weight="bold",
            color=colors[label],
            path_effects=[withStroke(linewidth=4, foreground="white")],
        )
    outside = int(np.any((points < low) | (points > high), axis=1).sum())
    note = f"\n{outside} of {len(points):,} images lie outside the frame" if outside else ""
    axes.set_title(panel.title + note, fontsize=9)
    axes.set(xlabel=panel.axis_labels[0], ylabel=panel.axis_labels[1])
    axes.grid(alpha=0.3)
