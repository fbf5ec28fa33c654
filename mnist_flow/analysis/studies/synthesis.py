"""The methods of generating images side by side: reports 002-4D and 003-4D, and a Gaussian mixture of the latents."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mnist_flow.analysis import style
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns, fetch_measured
from mnist_flow.analysis.statistics import count_replicates, summarise
from mnist_flow.config.analyze import StudySection
from mnist_flow.config.train import FOLD
from mnist_flow.data.dataset import name_class
from mnist_flow.metrics.synthesis import ALL, TEST_IMAGES, WAYS

_MEASURES = {
    "agreement": "judged as intended",
    "diversity": "diversity (real images: 1)",
    "nearest_distance": "distance to the nearest\ntraining image (RMS of pixels)",
}
_SHARPENED = {0: "", 1: ", sharpened once", 2: ", sharpened twice"}


class Config(StudySection):
    """The study has no keys of its own."""


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """A panel a measure, a row a method, from the evaluations of the runs.

    Raises:
        TrackingError: none of the runs is measured.
    """
    measured = fetch_measured(runs, "synthesis")
    made = "digits" if name_class(set(measured["digit"]) - {ALL}) == "digit" else "images"
    figure = plot_methods(measured, style.build_title(f"Synthetic {made}", measured))
    return Drawing(
        {"": figure}, {"": summarise_methods(measured), "digits": summarise_methods(measured, by_digit=True)}
    )


def summarise_methods(tables: pd.DataFrame, by_digit: bool = False) -> pd.DataFrame:
    """Runs to one row a model, method, step and measure, see `statistics.summarise`.

    Args:
        tables: of synthesis evaluations, a row a run, method, step and class, with the columns model, way, step, digit,
            agreement, confidence, diversity and nearest_distance.
        by_digit: a row for each class instead of one for all.

    Returns:
        Columns model, way, step, digit, measure, and those of the summary; what is NaN in all runs has no row.
    """
    keys = ["model", "way", "step", "digit"]
    rows = tables[(tables["digit"] != ALL) == by_digit]
    long = rows.melt([*keys, *({FOLD} & set(rows))], [*_MEASURES, "confidence"], "measure", "value")
    return summarise(long, [*keys, "measure"], "value")


def plot_methods(tables: pd.DataFrame, title: str) -> Figure:
    """Methods from top to bottom in the reports' order, a panel a measure, real test images as a dashed line."""
    overall = tables[tables["digit"] == ALL]
    made = overall[overall["way"] != TEST_IMAGES]
    models = list(dict.fromkeys(made["model"]))
    present = set(zip(made["way"], made["step"], strict=True))
    places = [(way, step) for way in WAYS for step in _SHARPENED if (way, step) in present]
    figure = style.make_figure(12, 0.5 * len(places) + 2.0 + 0.22 * len(models), title)
    panels = figure.subplots(1, len(_MEASURES), sharey=True)
    for axes, (measure, label) in zip(panels, _MEASURES.items(), strict=True):
        for index, model in enumerate(models):
            # Models stand one above the other within a method's row.
            offset = 0.5 * ((index + 0.5) / len(models) - 0.5)
            heights = {place: row + offset for row, place in enumerate(places)}
            runs = made[made["model"] == model]
            at = [heights[place] for place in zip(runs["way"], runs["step"], strict=True)]
            style.plot_rows(axes, runs.assign(place=at), measure, index, size=6)
        real = overall.loc[overall["way"] == TEST_IMAGES, measure].mean()
        axes.axvline(real, color="0.35", linestyle="--", linewidth=1)
        axes.set_xlabel(label)
        axes.grid(alpha=0.3, axis="x")
        for line in range(1, len(places)):
            axes.axhline(line - 0.5, color="0.9", linewidth=0.8)
    panels[0].xaxis.set_major_formatter(style.format_percent)
    panels[0].set_yticks(range(len(places)), [WAYS[way] + _SHARPENED[step] for way, step in places], fontsize=8)
    panels[0].set_ylim(len(places) - 0.5, -0.5)
    n = count_replicates(made, ["model"])
    handles = [style.make_handle(index, model, n[n["model"] == model], "none") for index, model in enumerate(models)]
    handles.append(Line2D([], [], color="0.35", linestyle="--", linewidth=1, label="real test images, mean"))
    figure.legend(handles=handles, loc="outside lower center", fontsize=9, frameon=False)
    return figure
