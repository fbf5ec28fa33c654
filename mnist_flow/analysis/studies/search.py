"""How a search went: the best over trials and time, what each key decides, slices, contours, and learning curves."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.tri import Triangulation

from mnist_flow.analysis import scales, style
from mnist_flow.analysis.dimensions import Dimension
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.searches import SearchTables, fetch_search
from mnist_flow.analysis.statistics import COLLAPSED_BELOW, rank_evenly
from mnist_flow.config.analyze import StudySection
from mnist_flow.config.train import is_minimised
from mnist_flow.sweeps.search.importances import FANOVA, PED_ANOVA

_COMPLETE: dict[str, Any] = {"color": style.COLORS[0], "marker": "o", "markersize": 4, "linestyle": "none"}
_PRUNED: dict[str, Any] = {"color": "0.6", "marker": "x", "markersize": 4, "linestyle": "none"}
_BEST: dict[str, Any] = {"color": style.COLORS[1], "linewidth": 1.5}
# Of all figures whose colour is the objective: from bad to good.
_COLOR_MAP = "viridis"
_N_LEVELS = 8
_EVALUATORS = {
    FANOVA: "fANOVA: share in the variance;\nkeys that all trials have",
    PED_ANOVA: "PED-ANOVA: what sets the best tenth apart;\nall keys",
}


class Config(StudySection):
    # Of the parent run of the search; None: the search of the experiments whose trial was begun last.
    run_id: str | None


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """A figure for each question that is asked of a search.

    Raises:
        TrackingError: there is no such search, or none of its trials was completed.
    """
    search = fetch_search(runs, study.run_id)
    of_search = runs.table["run_id"].isin(" ".join(search.trials["run_ids"]).split())

    def title(what: str) -> str:
        return style.build_title(what, runs.table[of_search])

    objectives = search.terms.objectives
    figures: dict[str, Figure] = {}
    if len(objectives) > 1:
        figures["pareto"] = plot_pareto(search, title("Pareto front"))
    figures["history"] = plot_history(search, title("Best so far"))
    for objective in objectives:
        end = f"_{objective}" if len(objectives) > 1 else ""
        name = style.describe_metric(objective)
        figures[f"slices{end}"] = plot_slices(search, objective, title(f"{name} over each key"))
        figures[f"parallel{end}"] = plot_parallel(search, objective, title(f"What was chosen, and the {name}"))
        pair = choose_pair(search, objective)
        if pair is not None:
            figures[f"contour{end}"] = plot_contour(
                search, objective, pair, title(f"{name} over the two most important numbers")
            )
    if len(search.importances):
        figures["importances"] = plot_importances(search.importances, title("What decides"))
    if len(search.curves):
        figures["curves"] = plot_curves(search, title("Learning curves"))
    tables = {"trials": sort_trials(search, objectives[0]), "importances": search.importances}
    if len(objectives) > 1:
        tables["pareto"] = tables["trials"][tables["trials"]["on_front"]]
    shown = {what: table for what, table in tables.items() if len(table)}
    return Drawing(figures, shown, parent_run_id=search.run_id)


def sort_trials(search: SearchTables, objective: str) -> pd.DataFrame:
    """The complete trials, the best first, and then the others."""
    ordered = search.trials.sort_values(objective, ascending=is_minimised(objective), kind="stable")
    return ordered.sort_values("state", key=lambda states: states != "complete", kind="stable", ignore_index=True)


def plot_history(search: SearchTables, title: str) -> Figure:
    """The objective of each trial and the best so far, over the number of the trial and, if known, over time."""
    objectives, trials = search.terms.objectives, search.trials
    is_complete = trials["state"] == "complete"
    columns = [x for x in ("trial", "minutes") if trials.loc[is_complete, x].notna().any()]
    figure = style.make_figure(9.5, 1.2 + 3.0 * len(objectives), title)
    grid = figure.subplots(len(objectives), len(columns), sharex="col", sharey="row", squeeze=False)
    for objective, row in zip(objectives, grid, strict=True):
        for axes, x in zip(row, columns, strict=True):
            _plot_trials(axes, trials, x, objective)
            complete = trials[is_complete].dropna(subset=[x]).sort_values(x)
            values = complete[objective]
            best = values.cummin() if is_minimised(objective) else values.cummax()
            ends = pd.concat([complete[x], pd.Series([trials[x].max()])])
            axes.step(ends, [*best, best.iloc[-1]], where="post", label="best so far", **_BEST)
            axes.grid(alpha=0.3)
        row[0].set_ylabel(style.describe_metric(objective))
    left, *right = grid[-1]
    left.set_xlabel("trial")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in right:
        axes.set(xlabel="minutes in which trials ran", xlim=(0, None))
    style.add_legend(figure, list(grid.flat))
    return figure


def plot_pareto(search: SearchTables, title: str) -> Figure:
    """Objectives against each other, a panel a pair; trials of the front are joined where there are two objectives."""
    pairs = list(itertools.combinations(search.terms.objectives, 2))
    complete = search.trials[search.trials["state"] == "complete"]
    figure, all_axes = style.make_panels(len(pairs), 2, (6.4 if len(pairs) == 1 else 4.4, 4.2), 1.1, title)
    for axes, (y, x) in zip(all_axes, pairs, strict=True):
        front = complete[complete["on_front"]].sort_values([x, y])
        axes.plot(complete[x], complete[y], label="complete", **_COMPLETE | {"color": "0.6"})
        if len(pairs) == 1:
            # From one of the front on nothing better is known, until the next.
            axes.step(front[x], front[y], where="post" if is_minimised(x) else "pre", **_BEST)
        axes.plot(front[x], front[y], label="on the Pareto front", **_COMPLETE | {"color": style.COLORS[1]})
        # What is on the front is seen, however bad it is at one of the objectives.
        _set_range(axes, complete[y], y, front[y])
        _mark_below(axes, complete[x], complete[y])
        scales.set_scale(axes, complete[x], complete[x].min() > 0 and complete[x].max() > 10 * complete[x].min())
        axes.set(xlabel=_describe_aim(x), ylabel=_describe_aim(y))
        axes.grid(alpha=0.3)
    style.add_legend(figure, all_axes)
    return figure


def plot_importances(importances: pd.DataFrame, title: str) -> Figure:
    """Each key's importance with its interval, the largest at the top: a row an objective, a column an evaluator."""
    panels = importances[["objective", "evaluator"]].drop_duplicates().to_numpy(dtype=str).tolist()
    size = 5.0, 0.9 + 0.35 * importances["key"].nunique()
    figure, all_axes = style.make_panels(len(panels), importances["evaluator"].nunique(), size, 1.1, title)
    for axes, (objective, evaluator) in zip(all_axes, panels, strict=True):
        shown = importances[(importances["objective"] == objective) & (importances["evaluator"] == evaluator)]
        # The interval of the resamples need not hold the importance itself.
        below, above = (shown["importance"] - shown["ci_low"], shown["ci_high"] - shown["importance"])
        bars = np.clip([below, above], 0, None)
        axes.errorbar(shown["importance"], shown["key"], xerr=bars, fmt="o", color=style.COLORS[0], capsize=3)
        axes.invert_yaxis()
        axes.margins(y=0.15)
        axes.set(xlim=(-0.02, 1.02), xlabel=f"importance for the {style.describe_metric(objective)}")
        axes.xaxis.label.set_fontsize(9)
        axes.set_title(_EVALUATORS[evaluator], fontsize=9)
        axes.grid(alpha=0.3, axis="x")
        axes.tick_params(labelsize=9)
    figure.supxlabel("of the complete trials; bars: 95 % of bootstrap resamples of the trials", fontsize=8)
    return figure


def plot_slices(search: SearchTables, objective: str, title: str) -> Figure:
    """The objective over each key of the space, a panel a key; later trials are darker."""
    n_rows = math.ceil(len(search.dimensions) / 4)
    n_columns = math.ceil(len(search.dimensions) / n_rows)
    figure, all_axes = style.make_panels(len(search.dimensions), n_columns, (3.0, 2.9), 1.1, title)
    for axes, dimension in zip(all_axes, search.dimensions, strict=True):
        # NaN where a trial does not have the key.
        placed = search.trials.assign(x=dimension.place(search.trials[dimension.key]))
        _plot_trials(axes, placed, "x", objective, by_number=True)
        dimension.set_axis(axes)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=8)
        axes.xaxis.label.set_fontsize(9)
    for axes in all_axes[::n_columns]:
        axes.set_ylabel(style.describe_metric(objective), fontsize=9)
    style.add_legend(figure, all_axes)
    return figure


def choose_pair(search: SearchTables, objective: str) -> tuple[Dimension, Dimension] | None:
    """The two most important keys that are numbers and that all complete trials have; None: there are no two."""
    if search.importances.empty:
        return None
    told = search.importances[search.importances["evaluator"] == FANOVA]
    ranked = told.loc[told["objective"] == objective, "key"]
    complete = search.trials[search.trials["state"] == "complete"]
    by_key = {one.key: one for one in search.dimensions if not one.choices}
    numbers = [
        by_key[key] for key in ranked if key in by_key and complete[key].nunique() > 2 and complete[key].notna().all()
    ]
    return (numbers[0], numbers[1]) if len(numbers) > 1 else None


def plot_contour(search: SearchTables, objective: str, pair: tuple[Dimension, Dimension], title: str) -> Figure:
    """The objective over two keys: straight lines between the complete trials, and every trial as a mark."""
    pruned, complete = (search.trials[search.trials["state"] == state] for state in ("pruned", "complete"))
    best = sort_trials(search, objective).head(1)
    figure = style.make_figure(7, 5.4, title)
    axes = figure.subplots()
    levels = _choose_levels(complete[objective])
    options: dict[str, Any] = {"cmap": _choose_colors(objective), "norm": BoundaryNorm(levels, 256)}
    x, y = (one.place(complete[one.key]) for one in pair)
    # Neighbours are those that are near by each key's own range.
    triangles = Triangulation(*(one.normalise(one.place(complete[one.key])) for one in pair)).triangles
    axes.tricontourf(Triangulation(x, y, triangles), complete[objective], levels=levels, alpha=0.85, **options)
    marks = axes.scatter(x, y, c=complete[objective], s=22, edgecolors="k", linewidths=0.6, label="complete", **options)
    if len(pruned):
        axes.plot(*(one.place(pruned[one.key]) for one in pair), **_PRUNED | {"color": "k"}, alpha=0.5, label="pruned")
    star: dict[str, Any] = {"markersize": 14, "color": style.COLORS[1], "markeredgecolor": "k", "linestyle": "none"}
    axes.plot(*(one.place(best[one.key]) for one in pair), marker="*", label="best", **star)
    for one, vertical in zip(pair, (False, True), strict=True):
        one.set_axis(axes, vertical)
    bar = figure.colorbar(marks, ax=axes, ticks=levels)
    if style.is_accuracy(objective):
        bar.formatter = FuncFormatter(style.format_percent)
    bar.set_label(f"{style.describe_metric(objective)} (about as many trials in each colour)", fontsize=9)
    style.add_legend(figure, [axes])
    return figure


def plot_parallel(search: SearchTables, objective: str, title: str) -> Figure:
    """Each complete trial as a line from key to key, coloured by its place among them; pruned ones are grey."""
    dimensions = search.dimensions
    trials = search.trials[search.trials["state"].isin(["complete", "pruned"])].copy()
    figure = style.make_figure(max(7.0, 1.9 * (len(dimensions) + 1)), 4.6, title)
    axes = figure.subplots()
    places = np.column_stack([one.normalise(one.place(trials[one.key])) for one in dimensions])
    is_complete = (trials["state"] == "complete").to_numpy()
    ranks = rank_evenly(trials.loc[is_complete, objective], ascending=not is_minimised(objective)).to_numpy()
    pruned = LineCollection(_join(places[~is_complete]), colors="0.8", linewidths=0.7, zorder=1)
    axes.add_collection(pruned, autolim=False)
    ends = np.column_stack([places[is_complete], ranks])
    order = np.argsort(ranks)
    lines = LineCollection(_join(ends[order]), cmap=_COLOR_MAP, array=ranks[order], linewidths=1.2, zorder=2)
    axes.add_collection(lines, autolim=False)
    names = [*(one.key for one in dimensions), f"{style.describe_metric(objective)}\n(rank among complete)"]
    for place, dimension in enumerate([*dimensions, None]):
        axes.axvline(place, color="0.3", linewidth=0.8, zorder=3)
        for height, label in dimension.list_ticks() if dimension is not None else ((0, "worst"), (1, "best")):
            axes.annotate(
                *(label, (place, height)),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=7,
                va="center",
                zorder=4,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set(xlim=(-0.1, len(names) - 0.6), ylim=(-0.05, 1.05), yticks=[])
    axes.spines[:].set_visible(False)
    handles = [Line2D([], [], color=lines.get_cmap()(1.0), label="complete: the lighter, the better")]
    if not is_complete.all():
        handles.append(Line2D([], [], color="0.8", label="pruned"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def plot_curves(search: SearchTables, title: str) -> Figure:
    """The curves of all runs over the epochs; a pruned one ends with a cross, and one below the axis with a mark."""
    curves = search.curves
    (metric,) = curves["metric"].unique()
    figure = style.make_figure(7.5, 4.8, title)
    axes = figure.subplots()
    ranked = sort_trials(search, search.terms.objectives[0])
    is_front = "on_front" in ranked
    marked = ranked.loc[ranked["on_front"], "trial"] if is_front else ranked["trial"].head(1)
    is_complete, is_marked = curves["state"] == "complete", curves["trial"].isin(marked)
    looks: list[tuple[str, pd.Series, dict[str, Any]]] = [
        ("failed or not at its end", ~curves["state"].isin(["complete", "pruned"]), {"color": style.COLORS[3]}),
        ("pruned", curves["state"] == "pruned", {"color": "0.6"}),
        ("complete", is_complete & ~is_marked, {"color": style.COLORS[0]}),
        ("on the Pareto front" if is_front else f"best: trial {marked.iloc[0]}", is_marked, {**_BEST, "alpha": 1.0}),
    ]
    for label, of_kind, look in looks:
        shown = curves[of_kind]
        n = shown["run_id"].nunique()
        for number, (_, run) in enumerate(shown.groupby("run_id", sort=False)):
            options = {"linewidth": 0.8, "alpha": 0.6, **look}
            axes.plot(run["epoch"], run["value"], label=f"{label} ({n})" if number == 0 else None, **options)
            if label == "pruned":
                axes.plot(run["epoch"].iloc[-1], run["value"].iloc[-1], **_PRUNED)
    ends = curves.groupby("run_id", sort=False).tail(1)
    later = pd.concat([curves.loc[curves["epoch"] > 1, "value"], ends.loc[ends["state"] == "pruned", "value"]])
    best = ends.loc[ends["trial"].isin(marked), "value"]
    _set_range(axes, later if len(later) else curves["value"], metric, best)
    _mark_below(axes, ends["epoch"], ends["value"])
    axes.set(xlabel="epoch", ylabel=style.describe_metric(metric))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    style.add_legend(figure, [axes])
    return figure


def _plot_trials(axes: Axes, trials: pd.DataFrame, x: str, objective: str, by_number: bool = False) -> None:
    """Plot complete trials as points, and pruned ones as crosses at their last value.

    Those without a value, and those below the axis, have a mark on its lower end.
    """
    pruned, complete = (trials[trials["state"] == state] for state in ("pruned", "complete"))
    _set_range(axes, pd.concat([complete[objective], pruned[objective].dropna()]), objective)
    if len(pruned):
        axes.plot(pruned[x], pruned[objective], label="pruned, at its last value", **_PRUNED)
    if by_number:
        options: dict[str, Any] = {"c": complete["trial"], "cmap": "Blues", "vmin": -0.5 * trials["trial"].max()}
        axes.scatter(complete[x], complete[objective], s=18, label="complete: the darker, the later", **options)
    else:
        axes.plot(complete[x], complete[objective], label="complete", **_COMPLETE)
    _mark_below(axes, trials[x], trials[objective])
    _mark_lower_end(axes, trials.loc[trials["state"] == "failed", x], "k", "failed")


def _mark_below(axes: Axes, x: pd.Series, values: pd.Series) -> None:
    """Mark the places of values that lie below the vertical axis, which has its range."""
    _mark_lower_end(axes, x[values < axes.get_ylim()[0]], "0.6", "below the axis")


def _mark_lower_end(axes: Axes, x: pd.Series, color: str, label: str) -> None:
    if len(x):
        options: dict[str, Any] = {"clip_on": False, "transform": axes.get_xaxis_transform(), "label": label}
        axes.plot(x, np.zeros(len(x)), "v", color=color, **options)


def _set_range(axes: Axes, values: pd.Series, metric: str, shown: pd.Series | None = None) -> None:
    """Set the vertical axis to all values but the accuracies of networks that learned nothing, which lie below it.

    Those of `shown` are seen in any case.
    """
    learned = values[values > COLLAPSED_BELOW] if style.is_accuracy(metric) else values[np.isfinite(values)]
    seen = learned if shown is None else pd.concat([learned, shown])
    scales.set_range(axes, seen if len(seen) else values, metric)


def _choose_levels(values: pd.Series) -> np.ndarray:
    """Borders between colours, so that as many values lie between each two."""
    levels = np.unique(np.quantile(values, np.linspace(0, 1, _N_LEVELS + 1)))
    return levels if len(levels) > 1 else np.array([levels[0] - 0.5, levels[0] + 0.5])


def _describe_aim(objective: str) -> str:
    return f"{style.describe_metric(objective)} ({'minimised' if is_minimised(objective) else 'maximised'})"


def _choose_colors(objective: str) -> str:
    return f"{_COLOR_MAP}_r" if is_minimised(objective) else _COLOR_MAP


def _join(heights: np.ndarray) -> list[np.ndarray]:
    """Lines through heights at 0, 1, …, one a row; a missing one is left out."""
    places = np.arange(heights.shape[1])
    return [np.column_stack([places, row])[~np.isnan(row)] for row in heights]
