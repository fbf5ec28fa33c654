"""Which classes are predicted for which: mean confusion matrices, and the pairs most often confused."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.figure import Figure

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.matrices import fetch_confusions
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.runs import list_panels
from mnist_flow.analysis.statistics import summarise
from mnist_flow.analysis.style import build_title, describe_n, make_panels
from mnist_flow.config.analyze import StudySection
from mnist_flow.config.section import Count
from mnist_flow.data.dataset import name_class
from mnist_flow.figures import measure_matrix, plot_matrix

# Of a panel's heading.
_LETTERS_AN_INCH = 12


class Config(StudySection):
    # Rows of the table of confused pairs, for each setting.
    pairs: Count


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """A matrix a setting, the mean of its runs, and the pairs most often confused."""
    fractions = build_fractions(list_panels(runs.table).merge(fetch_confusions(runs.table), on="run_id"))
    summary = summarise(fractions, ["panel", "true", "predicted"], "fraction")
    figure = plot_confusions(summary, build_title("Confusion on the test set, shares of each row in %", runs.table))
    return Drawing({"": figure}, {"": summary, "pairs": list_pairs(summary, study.pairs)})


def build_fractions(cells: pd.DataFrame) -> pd.DataFrame:
    """Divide the cells of confusion matrices by the images of their true class.

    Args:
        cells: from `matrices.fetch_confusions`.

    Returns:
        The same with the column fraction; 0 where a class has no images.
    """
    images = cells.groupby(["run_id", "true"], sort=False)["count"].transform("sum")
    return cells.assign(fraction=cells["count"] / images.clip(lower=1))


def list_pairs(summary: pd.DataFrame, count: int) -> pd.DataFrame:
    """The mistakes with the largest mean fractions, `count` rows a panel, the largest first."""
    mistakes = summary[(summary["true"] != summary["predicted"]) & (summary["mean"] > 0)]
    by_panel = mistakes.groupby("panel", sort=False)
    largest = [panel.sort_values("mean", ascending=False, kind="stable").head(count) for _, panel in by_panel]
    return pd.concat([mistakes.head(0), *largest], ignore_index=True)


def plot_confusions(summary: pd.DataFrame, title: str) -> Figure:
    """Mean row-normalised matrices, a panel a setting; the colours end at the largest mistake of all."""
    panels = list(dict.fromkeys(summary["panel"]))
    side = measure_matrix(summary["true"].nunique())
    figure, all_axes = make_panels(len(panels), 2, (side + 0.6, side + 0.3), 0.6, title)
    mistakes = summary.loc[summary["true"] != summary["predicted"], "mean"]
    # Of two classes, as in the figure of a run.
    of_mistakes = summary["true"].nunique() > 2
    darkest = max(mistakes.max(), 1e-3) if of_mistakes else 1
    for axes, panel in zip(all_axes, panels, strict=True):
        shown = summary[summary["panel"] == panel]
        classes = list(shown["true"].unique())
        mean = shown.pivot_table(index="true", columns="predicted", values="mean").loc[classes, classes].to_numpy()
        image = plot_matrix(axes, 100 * mean, list(map(str, classes)), 100 * darkest, _write_percent)
        axes.set(xlabel=f"predicted {name_class(classes)}", ylabel=f"true {name_class(classes)}")
        heading = textwrap.wrap(f"{panel} (mean of {describe_n(shown)})", int(side * _LETTERS_AN_INCH))
        axes.set_title("\n".join(heading), fontsize=9)
    extend = "max" if of_mistakes else "neither"
    bar = figure.colorbar(image, ax=all_axes, extend=extend, shrink=0.6, aspect=30)
    name = name_class(summary["true"].unique())
    said = "\n(darkest from the largest mistake on)" if of_mistakes else ""
    bar.set_label(f"share of the true {name}'s images in %{said}", fontsize=9)
    return figure


def _write_percent(value: float) -> str:
    """Write what rounds to nothing as nothing."""
    return "" if value < 0.005 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
