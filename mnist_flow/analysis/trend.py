"""A metric over a param: every replicate, means, spreads, what was published, and differences seed by seed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Transform, offset_copy

from mnist_flow.analysis import scales, style
from mnist_flow.analysis.runs import describe_value, is_same_value
from mnist_flow.analysis.statistics import compare_paired, summarise

log = logging.getLogger(__name__)

_KEY = "● one run    ― mean ± sample standard deviation (n {})"


@dataclass(frozen=True)
class Trend:
    """The data of one figure."""

    # One row a run: setting (what tells lines apart), x, seed, the metric, data.name, data.validation.
    runs: pd.DataFrame
    # From `statistics.summarise` by setting and x.
    summary: pd.DataFrame
    # From `statistics.compare_paired`; empty: no panel.
    differences: pd.DataFrame
    # Columns row, x, value, mean_of; empty: nothing was published.
    published: pd.DataFrame
    metric: str
    # What the differences are from.
    reference: str | float | bool


def build_trend(
    runs: pd.DataFrame, metric: str, published: pd.DataFrame, reference: str | float | bool | None, condition: str = "x"
) -> Trend:
    """Summarise the runs and compare them with a reference.

    Args:
        runs: as `Trend.runs`.
        metric: the column drawn.
        published: as `Trend.published`.
        reference: the value of `condition` that others are compared with; None: the smallest, or the first of texts.
            One that no run has is replaced by the smallest, and a warning says so.
        condition: x: values of x are compared within each setting; setting: settings at each x.
    """
    order = ["setting", "x"]
    runs = runs.sort_values([*order, "seed"], key=_sortable, ignore_index=True)
    values = list(runs[condition].unique())
    first = min(values) if pd.api.types.is_numeric_dtype(runs[condition]) else values[0]
    found = [] if reference is None else [value for value in values if is_same_value(value, reference)]
    if reference is not None and not found:
        shown = " ".join(str(value) for value in values)
        log.warning("study.reference=%s: no finished run has it, %s is taken; choices: %s", reference, first, shown)
    chosen = found[0] if found else first
    within = [name for name in order if name != condition]
    return Trend(
        runs=runs,
        summary=summarise(runs, order, metric),
        differences=compare_paired(runs, within, condition, chosen, metric),
        published=published,
        metric=metric,
        reference=chosen,
    )


def plot_trend(
    trend: Trend, title: str, x_label: str, logarithmic: bool | None = None, reference_label: str = ""
) -> Figure:
    """Plot the values above, and differences from the reference below where there are any.

    Args:
        trend: what is drawn.
        title: of the figure.
        x_label: of the horizontal axis.
        logarithmic: None: as the grid is.
        reference_label: what the reference is, for the lower panel.
    """
    categories = [] if pd.api.types.is_numeric_dtype(trend.runs["x"]) else list(trend.runs["x"].unique())
    if categories:
        trend = _place_categories(trend, categories)
    runs, metric, published = trend.runs, trend.metric, trend.published
    with_baselines = style.has_baselines(runs, metric)
    # One pair says nothing.
    has_panel = bool((trend.differences["n"] > 1).any())
    figure = style.make_figure(8.5, 7.2 if has_panel else 5.6, title)
    baselines = style.BASELINES.values() if with_baselines else ()
    values = pd.Series([*runs[metric], *published["value"], *baselines], dtype=float)
    means, spreads = trend.summary["mean"], trend.summary["std"]
    bars = pd.concat([means - spreads, means + spreads])
    value_axes, lower = scales.make_value_axes(figure, values, bars, metric, lower_panel=has_panel)
    settings = list(runs["setting"].unique())
    for axes in value_axes:
        for index, setting in enumerate(settings):
            _plot_setting(axes, trend, setting, (index, len(settings)), joined=not categories)
        _plot_published(axes, published)
        if with_baselines:
            style.add_baselines(axes)
    value_axes[0].set_ylabel(style.describe_metric(metric))
    if lower is not None:
        _plot_differences(lower, trend, settings)
        same = "seeds and folds" if style.has_folds(runs) else "seeds"
        unit = " in points" if style.is_accuracy(metric) else ""
        lower.set_ylabel(f"difference{unit} from\n{reference_label}\n(95 % interval, same {same})", fontsize=9)
    bottom = lower or value_axes[-1]
    bottom.set_xlabel(x_label)
    if categories:
        names = [describe_value(category) for category in categories]
        bottom.set_xticks(range(len(names)), names, rotation=20 if len("".join(names)) > 60 else 0)
        bottom.set_xlim(-0.5, len(categories) - 0.5)
    else:
        scales.set_scale(bottom, [*runs["x"], *published["x"].astype(float)], logarithmic)
    key = _KEY.format(style.name_replicates(runs))
    style.add_legend(figure, value_axes, key + ("    open: published" if len(published) else ""))
    return figure


def _place_categories(trend: Trend, categories: Sequence[str]) -> Trend:
    """Replace texts on the horizontal axis by their places 0, 1, …"""
    places = {category: place for place, category in enumerate(categories)}
    tables = {name: getattr(trend, name) for name in ("runs", "summary", "differences", "published")}
    return replace(trend, **{name: table.assign(x=table["x"].map(places)) for name, table in tables.items()})


def _plot_setting(axes: Axes, trend: Trend, setting: str, which: tuple[int, int], joined: bool) -> None:
    """Plot the runs of a setting as faint points beside its means; `which` is its number and how many there are."""
    points, means = trend.runs[trend.runs["setting"] == setting], trend.summary[trend.summary["setting"] == setting]
    index, count = which
    look, shift = style.choose_line_style(index), 3 * (index - (count - 1) / 2)
    axes.plot(
        *(points["x"], points[trend.metric], look["marker"]),
        color=look["color"],
        alpha=0.5,
        markersize=4,
        markeredgewidth=0,
        transform=_shift(axes, shift - 4),
    )
    axes.errorbar(
        means["x"],
        means["mean"],
        yerr=means["std"].fillna(0),
        color=look["color"],
        marker="_",
        markersize=11,
        markeredgewidth=1.5,
        linestyle=look["linestyle"] if joined else "none",
        linewidth=1,
        capsize=3,
        label=f"{setting}, {style.describe_n(means)}",
        transform=_shift(axes, shift),
    )


def _plot_published(axes: Axes, published: pd.DataFrame) -> None:
    """Plot published values as open marks beside the runs, one kind of mark per report."""
    for index, (row, printed) in enumerate(published.groupby("row", sort=False)):
        n = printed["mean_of"].iloc[0]
        each = f"mean of {n}" if n > 1 else "each run" if printed["x"].duplicated().any() else "one run"
        aside = 6 + 3 * (index // 2) if index % 2 == 0 else -10 - 3 * (index // 2)
        options = {"markersize": 5, "transform": _shift(axes, aside)}
        style.plot_published(axes, printed["x"], printed["value"], index, f"published: {row}, {each}", **options)


def _plot_differences(axes: Axes, trend: Trend, settings: Sequence[str]) -> None:
    """Plot mean differences with their intervals; the difference of a single pair has none."""
    table = trend.differences
    for index, setting in enumerate(settings):
        rows = table[table["setting"] == setting]
        look = style.choose_line_style(index)
        axes.errorbar(
            rows["x"],
            rows["difference"],
            yerr=(rows["ci_high"] - rows["difference"]).fillna(0),
            color=look["color"],
            marker=look["marker"],
            markersize=4,
            linestyle="none",
            capsize=3,
            transform=_shift(axes, 3 * (index - (len(settings) - 1) / 2)),
        )
    axes.axhline(0, color="0.35", linewidth=1)
    scales.set_difference_range(axes, table["difference"], table["ci_high"] - table["difference"], trend.metric)


def _shift(axes: Axes, points: float) -> Transform:
    """Move marks sideways by a number of points, so that marks at one place do not hide each other."""
    return offset_copy(axes.transData, axes.get_figure(root=True), x=points, units="points")


def _sortable(column: pd.Series) -> pd.Series:
    """Sort key of a column: settings keep their order of appearance, all other values ascend."""
    return pd.Series(pd.factorize(column)[0], index=column.index) if column.name == "setting" else column
