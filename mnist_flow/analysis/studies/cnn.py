"""Networks side by side, such as the convolutional ones of reports 000-4A, 001-3.1, 002-3A, 003-3, 004-3.1."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from mnist_flow.analysis import style
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns, select_published
from mnist_flow.analysis.runs import label_panels
from mnist_flow.analysis.selection import choose_measured
from mnist_flow.analysis.statistics import summarise
from mnist_flow.config.analyze import StudySection

# What is known of an accuracy from one test has an error of its own, however many runs there are.
_BINOMIAL = "± binomial standard error of one test"


class Config(StudySection):
    # Any metric that the runs have; None: what settings are compared by.
    metric: str | None


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """A row a network: every run, what was published, and both kinds of uncertainty."""
    metric, table = choose_measured(runs.table, study.metric)
    table = table.assign(network=label_panels(table))
    summary = summarise_networks(table, metric)
    published = select_published(runs.published, metric).rename(columns={"experiment": "network"})
    title = style.build_title("Networks side by side", table)
    return Drawing({"": plot_networks(table, summary, published, metric, title)}, {"": summary}, metric)


def summarise_networks(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Replicates to one row a network, see `statistics.summarise`.

    Beside it binomial_standard_error, of one run's test accuracy (mean of the runs; NaN where there is none, also of a
    test with no mistake or nothing but mistakes, whose formula gives 0), and n_parameters.
    """
    error = table.get("test_accuracy_standard_error", pd.Series(math.nan, index=table.index))
    more = (
        table.assign(test_accuracy_standard_error=error.mask(error == 0))
        .groupby("network")
        .agg(binomial_standard_error=("test_accuracy_standard_error", "mean"), n_parameters=("n_parameters", "first"))
    )
    return summarise(table, ["network"], metric).merge(more.astype({"n_parameters": int}), on="network")


def plot_networks(
    table: pd.DataFrame, summary: pd.DataFrame, published: pd.DataFrame, metric: str, title: str
) -> Figure:
    """Networks from top to bottom, the metric from left to right.

    Args:
        table: one row a run: network and the metric.
        summary: from `summarise_networks`.
        published: columns network and value.
        metric: the column drawn.
    """
    figure = style.make_figure(8.5, 0.62 * len(summary) + 2.2, title)
    axes = figure.subplots()
    places = {network: index for index, network in enumerate(summary["network"])}
    printed = published[published["network"].isin(places)]
    rows = range(len(summary))
    if style.is_accuracy(metric):
        # No accuracy is beyond 0 or 1, however near its mean is.
        low, high = ((summary["mean"] + sign * summary["binomial_standard_error"]).clip(0, 1) for sign in (-1, 1))
        axes.hlines(rows, low, high, color="0.8", linewidth=9, label=_BINOMIAL)
    axes.errorbar(
        summary["mean"],
        rows,
        xerr=summary["std"].fillna(0),
        color=style.COLORS[0],
        marker="|",
        markersize=14,
        linestyle="none",
        capsize=3,
        label=f"mean ± sample standard deviation of the {style.name_replicates(table)}",
    )
    axes.plot(
        table[metric],
        table["network"].map(places) + 0.22,
        "o",
        color=style.COLORS[1],
        markersize=4,
        alpha=0.7,
        label="one run",
    )
    if len(printed):
        style.plot_published(axes, printed["value"], printed["network"].map(places) - 0.28, 0, "published")
    if style.has_baselines(table, metric):
        style.add_baselines(axes, vertical=True)
    labels = [
        f"{one['network'].iloc[0]}\n{one['n_parameters'].iloc[0]:,} parameters, {style.describe_n(one)}"
        for _, one in summary.groupby(level=0)
    ]
    axes.set_yticks(list(rows), labels, fontsize=8)
    axes.set(ylim=(len(summary) - 0.5, -0.6), xlabel=style.describe_metric(metric))
    if style.is_accuracy(metric):
        axes.xaxis.set_major_formatter(style.format_percent)
    axes.grid(alpha=0.3, axis="x")
    style.add_legend(figure, [axes])
    return figure
