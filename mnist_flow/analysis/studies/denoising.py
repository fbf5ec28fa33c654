"""What a denoiser is worth to a classifier: report 002-4C, with spreads, crossing points and other remedies."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mnist_flow import tracking
from mnist_flow.analysis import style
from mnist_flow.analysis.crossings import find_crossings
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns, fetch_measured
from mnist_flow.analysis.statistics import count_replicates, summarise
from mnist_flow.config.analyze import StudySection
from mnist_flow.config.train import REPLICATED
from mnist_flow.data.dataset import name_class
from mnist_flow.errors import TrackingError
from mnist_flow.figures import plot_image_rows
from mnist_flow.runtime.terminal import format_mean

log = logging.getLogger(__name__)

_WORDS = {"noisy": "noisy images", "median_3x3": "3×3 median filter"}
_STRIP = "samples/denoised.npz"
# Near the top the curves differ by a point or less.
_ZOOM_FROM = 0.9
# Begins the columns with the recall of each class.
_RECALL = "recall_"
# Noise levels of the table that is read; the figure and the CSV have all.
_TABULATED = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8)


class Config(StudySection):
    """The study has no keys of its own."""


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """Macro recall, each class's recall and image quality over the noise, crossing points, and pictures.

    Raises:
        TrackingError: none of the runs is measured.
    """
    measured = fetch_measured(runs, "denoising", " measure.denoising.denoiser.experiment_name=DENOISERS")
    measured = measured.rename(columns={"model": "classifier"})
    pictures = _draw_strips(runs, measured)
    column = "level" if "level" in measured else "stddev"
    if "level" in measured and "stddev" in measured:
        log.warning("measured with salt and pepper and with gaussian noise; salt and pepper is drawn")
        measured = measured.dropna(subset="level")
    chains = average_draws(measured, column)
    crossings = find_crossings(chains)
    title = style.build_title("Noise on the test images", measured)
    figures = {
        "": plot_recall(chains, crossings, title, column),
        "digits": plot_classes(
            chains, f"Each {name_class(list_classes(chains))}: {title[0].lower()}{title[1:]}", column
        ),
        "quality": plot_quality(chains, f"Images beside the clean ones: {title[0].lower()}{title[1:]}", column),
    }
    tables = {
        "levels": tabulate_levels(chains, column),
        "crossings": crossings,
        "": summarise(chains, ["curve", "strength"], "macro_recall"),
    }
    return Drawing(figures, tables, "macro_recall", pictures=pictures)


def average_draws(measured: pd.DataFrame, column: str) -> pd.DataFrame:
    """The draws of each chain of networks to their mean.

    Args:
        measured: of denoising evaluations, a row a run, input, denoiser, noise level and draw, with the column
            classifier.
        column: level or stddev.

    Returns:
        One row a curve, run and noise level: classifier, input, denoiser, curve (what tells lines apart), run_id, seed,
        perhaps data.fold, strength (the level), and the means of macro_recall, of the recall of each class, psnr and
        ssim. Curves in order of appearance, those of one classifier together: noisy, median, denoised.
    """
    keys = ["classifier", "input", "denoiser", "run_id", *(name for name in REPLICATED if name in measured), column]
    measures = ["macro_recall", *(_RECALL + name for name in list_classes(measured)), "psnr", "ssim"]
    chains = measured.groupby(keys, sort=False, dropna=False)[measures].mean().reset_index()
    chains = chains.rename(columns={column: "strength"})
    return chains.assign(curve=chains["classifier"] + ": " + _describe_images(chains))


def list_classes(table: pd.DataFrame) -> list[str]:
    """Names of the classes whose recalls are columns of the table."""
    return [str(name).removeprefix(_RECALL) for name in table if str(name).startswith(_RECALL)]


def tabulate_levels(chains: pd.DataFrame, column: str) -> pd.DataFrame:
    """The macro recall at some noise levels, as text: `99.12 ± 0.05 %`, mean ± sample standard deviation over seeds.

    Args:
        chains: from `average_draws`.
        column: level or stddev.

    Returns:
        One row a curve: curve, n (seeds, or folds), and a column a noise level, of those measured.
    """
    shown = summarise(chains[chains["strength"].isin(_TABULATED)], ["curve", "strength"], "macro_recall")
    numbers = zip(100 * shown["mean"], 100 * shown["std"], strict=True)
    texts = shown.assign(text=[format_mean(mean, std, ".2f", " %") for mean, std in numbers])
    wide = texts.pivot_table(index="curve", columns="strength", values="text", aggfunc="first")
    n = count_replicates(chains, ["curve"]).set_index("curve")
    return n.join(wide.rename(columns=lambda level: f"{column} {level:g}")).reset_index()


def plot_recall(chains: pd.DataFrame, crossings: pd.DataFrame, title: str, column: str) -> Figure:
    """Macro recall over the noise: all of it, and the range near the top, if a curve reaches it.

    Crossing points are marked near the top; those beyond that range, in the whole.
    """
    # Where some curve is still near the top.
    last = chains.loc[chains["macro_recall"] > _ZOOM_FROM, "strength"].max()
    figure = style.make_figure(11, 5.6 + 0.22 * chains["curve"].nunique(), title)
    whole, *zoomed = figure.subplots(1, 1 if pd.isna(last) else 2, squeeze=False).flat
    for axes in (whole, *zoomed):
        _plot_curves(axes, chains, "macro_recall", column, "macro recall (mean true-positive rate)")
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    for axes in zoomed:
        axes.set(xlim=(-0.02, last + 0.03), ylim=(_ZOOM_FROM, 1.0))
        axes.set_title(f"above {100 * _ZOOM_FROM:g} %", fontsize=10)
    whole.set(xlim=whole.get_xlim(), ylim=(0, 1.02))
    curves = list(dict.fromkeys(chains["curve"]))
    # A mean of some seeds is no crossing of all.
    marked = crossings[crossings["crossed"] == crossings["n"]]
    for _, row in marked.iterrows():
        curve = f"{row['classifier']}: denoised by {row['denoiser']}"
        color = style.choose_line_style(curves.index(curve))["color"]
        axes = zoomed[0] if row["crossing"] <= last + 0.03 else whole
        axes.axvline(row["crossing"], color=color, linestyle=":", linewidth=1.2)
        if pd.notna(row["ci_low"]):
            axes.axvspan(row["ci_low"], row["ci_high"], color=color, alpha=0.12, linewidth=0)
    counts = count_replicates(chains, ["curve"])
    interval = " (95 % interval)" if marked["ci_low"].notna().any() else ""
    dotted = f"   dotted: denoising helps from here{interval}" if len(marked) else ""
    style.add_legend(figure, [whole], f"points: a run ({style.describe_n(counts)}){_describe_spread(chains)}{dotted}")
    return figure


def plot_classes(chains: pd.DataFrame, title: str, column: str) -> Figure:
    """Recall over the noise, a panel a class: means over the seeds with ± one sample standard deviation."""
    classes, margin = list_classes(chains), 0.22 * chains["curve"].nunique()
    columns = 5
    figure, all_axes = style.make_panels(len(classes), columns, (2.4, 2.9), margin, title, share=True)
    for number, (name, axes) in enumerate(zip(classes, all_axes, strict=True)):
        for index, (curve, one) in enumerate(chains.groupby("curve", sort=False)):
            summary = summarise(one, ["strength"], _RECALL + name).set_index("strength").sort_index()
            means, stds = summary["mean"], summary["std"].fillna(0)
            look = {**style.choose_line_style(index), "marker": ""}
            axes.plot(means.index, means, label=str(curve), linewidth=1.4, **look)
            axes.fill_between(means.index, means - stds, means + stds, color=look["color"], alpha=0.15, linewidth=0)
        axes.set_title(f"{name_class(classes)} {name}", fontsize=10)
        axes.grid(alpha=0.3)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        # The last row may be shorter than the one above it.
        is_lowest, is_first = number >= len(classes) - columns, number % columns == 0
        axes.set(xlabel=f"noise {column}" if is_lowest else "", ylabel="recall" if is_first else "", ylim=(0, 1.02))
    over = "folds" if style.has_folds(chains) else "seeds"
    style.add_legend(figure, all_axes, f"means over the {over}{_describe_spread(chains, 'bands')}")
    return figure


def plot_quality(chains: pd.DataFrame, title: str, column: str) -> Figure:
    """PSNR and SSIM over the noise, of noisy, filtered and denoised images; where several classifiers saw the same
    images, of one of them."""
    made = chains.assign(curve=_describe_images(chains)).drop_duplicates(
        ["curve", *(name for name in REPLICATED if name in chains), "strength"]
    )
    # An image without noise equals the clean one: its PSNR is infinite, and not drawn.
    made = made.replace({"psnr": np.inf}, np.nan)
    figure = style.make_figure(10, 4.6 + 0.22 * made["curve"].nunique(), title)
    left, right = figure.subplots(1, 2)
    _plot_curves(left, made, "psnr", column, "PSNR (dB)")
    _plot_curves(right, made, "ssim", column, "SSIM (1 = equal)")
    is_infinite = bool((made["psnr"].isna() & (made["strength"] == 0)).any())
    infinite = "   without noise: infinite PSNR, no point" if is_infinite else ""
    style.add_legend(figure, [left, right], f"points: a run{_describe_spread(made)}{infinite}")
    return figure


def _describe_spread(chains: pd.DataFrame, marks: str = "bars") -> str:
    """What the marks around means are, for a legend's title; nothing where no curve has several replicates."""
    return f"   {marks}: ± sample standard deviation" if count_replicates(chains, ["curve"])["n"].max() > 1 else ""


def _describe_images(chains: pd.DataFrame) -> pd.Series:
    """What the classifier sees: noisy images, or what became of them."""
    return chains["input"].map(_WORDS).fillna("denoised by " + chains["denoiser"])


def _plot_curves(axes: Axes, chains: pd.DataFrame, measure: str, column: str, name: str) -> None:
    """Plot a measure of every curve over the noise; `name` is written beside the axis."""
    # A curve has the colour of its place among all of them, whether or not this measure is known of its first points.
    for index, (curve, one) in enumerate(chains.groupby("curve", sort=False)):
        known = one.dropna(subset=measure)
        if not known.empty:
            style.plot_replicates(axes, known, "strength", measure, index, str(curve))
    what = {"level": "noise level (share of pixels replaced by 0 or 1)", "stddev": "standard deviation of the noise"}
    axes.set_xlabel(what[column], fontsize=9)
    axes.set_ylabel(name, fontsize=9)
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize=8)


def _draw_strips(runs: StudyRuns, measured: pd.DataFrame) -> dict[str, Figure]:
    """Pictures of the first seed that is measured: original, noisy and denoised, one figure a denoiser.

    Evaluations are fetched of runs with a denoiser that has no picture yet, the newest first, and no others.
    """
    strips: dict[str, Figure] = {}
    by_run = measured[measured["input"] == "denoised"].groupby("run_id")["denoiser"]
    denoisers = {run_id: set(names) for run_id, names in by_run}
    run_ids = list(runs.table.sort_values("seed", kind="stable")["run_id"])
    found = tracking.fetch_evaluations("denoising", sorted(set(runs.table["experiment_id"])), run_ids)
    for run_id, evaluations in found.items():
        for evaluation in reversed(evaluations):
            if denoisers.get(run_id, set()) <= strips.keys():
                break
            try:
                arrays = tracking.fetch_arrays(evaluation, _STRIP)
            except TrackingError as error:
                log.warning("%s", error)
                continue
            denoiser = str(arrays["denoiser"])
            if denoiser not in strips:
                strips[denoiser] = _plot_strip(arrays, f"Test images, denoised by {denoiser}")
    return {f"pictures_{number}": figure for number, figure in enumerate(strips.values(), start=1)}


def _plot_strip(arrays: Mapping[str, np.ndarray], title: str) -> Figure:
    rows = [("original", arrays["original"])]
    for level, noisy, denoised in zip(arrays["levels"], arrays["noisy"], arrays["denoised"], strict=True):
        rows += [(f"{level:g}: noisy", noisy), ("denoised", denoised)]
    return plot_image_rows(rows, title)
