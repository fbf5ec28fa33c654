"""Scales, ranges and ticks of axes that follow from the values drawn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, Locator, LogFormatterSciNotation, LogLocator, MaxNLocator, NullLocator
from scipy.special import expit, logit

from mnist_flow.analysis.statistics import COLLAPSED_BELOW
from mnist_flow.analysis.style import format_percent, is_accuracy

# An axis is broken between runs that learned nothing and others that are all beyond this accuracy.
_LEARNED_FROM = 0.5
# Accuracies are spaced by the logarithm of their odds where the errors differ by more than this factor.
_WIDE_RATIO = 4.0
_PERCENT_TICKS = (
    *(0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.96, 0.97, 0.975, 0.98, 0.985, 0.99, 0.995),
    *(0.998, 0.999),
)
# Differences of accuracies beyond this have an axis that is logarithmic beyond one point, with ticks at these steps.
_LARGE_DIFFERENCE = 0.03
_STEPS = (0.005, 0.01, 0.03, 0.1, 0.3, 0.9)
_TICK_SIZE = 9
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
# Of a logarithmic axis: the labels that have room beside each other, evenly spread over its length.
_MOST_LABELS = 12
# Powers of ten between which 2 and 5 have labels, too.
_FEW_DECADES = 2.5


def is_logarithmic(values: Iterable[float]) -> bool:
    """Whether a grid is more even by factors than by differences; zero and below do not count."""
    positive = np.unique([value for value in values if value > 0])
    if len(positive) < 3:
        return len(positive) == 2 and positive[1] >= 10 * positive[0]

    def unevenness(gaps: np.ndarray) -> float:
        return float(gaps.std() / gaps.mean())

    return unevenness(np.diff(np.log(positive))) < unevenness(np.diff(positive))


def set_scale(axes: Axes, values: Iterable[float], logarithmic: bool | None = None) -> None:
    """Set the horizontal axis for a grid of numbers, logarithmic where the grid is; zero stands left of the others.

    A logarithmic axis has its ticks at the numbers themselves where these have room; whole numbers have whole ticks.

    Args:
        axes: to set.
        values: of the grid.
        logarithmic: None: as the grid is.
    """
    known = np.unique(list(values))
    low, high = known[0], known[-1]
    if low < 0 or not (is_logarithmic(known) if logarithmic is None else logarithmic):
        margin = 0.06 * (high - low) or 0.5
        axes.set_xlim(low - margin, high + margin)
        if (known == known.round()).all():
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    elif low > 0:
        margin = (high / low) ** 0.06 if high > low else 2
        axes.set_xscale("log")
        axes.set_xlim(low / margin, high * margin)
        _label_values(axes, known)
    else:
        smallest = known[known > 0].min() if high > 0 else 1e-6
        axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
        axes.set_xlim(-smallest / 4, max(high, smallest) * 1.6)
        axes.xaxis.set_minor_locator(NullLocator())
        _label_values(axes, known)


def _label_values(axes: Axes, known: np.ndarray) -> None:
    """Put the ticks of a logarithmic axis at these values, or at round ones if two come too close for their labels."""
    logs = np.log10(known[known > 0])
    decades = logs[-1] - logs[0] if len(logs) else 0.0
    locator: Locator = FixedLocator(known.tolist())
    if len(logs) > 1 and np.diff(logs).min() < decades / _MOST_LABELS:
        subs = (1, 2, 5) if decades < _FEW_DECADES else (1,)
        locator = LogLocator(subs=subs) if known[0] > 0 else axes.xaxis.get_major_locator()
    formatter = _PowerFormatter()
    formatter.set_axis(axes.xaxis)

    def write(value: float, _: float) -> str:
        return f"{value:g}" if value == 0 or 1e-3 <= value < 1e5 else formatter(value)

    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(write)


def make_value_axes(
    figure: Figure, values: pd.Series, bars: pd.Series, metric: str, lower_panel: bool
) -> tuple[list[Axes], Axes | None]:
    """Make the axes of values, two with a broken range where some runs collapsed, and a panel below for differences.

    Args:
        figure: to divide.
        values: of the metric, every point that is drawn.
        bars: the ends of error bars. They have room, too, but for those that come close to 100 %, or to zero.
        metric: chooses the kind of range.
        lower_panel: whether there is one below.

    Returns:
        Axes of the values from top to bottom, with one horizontal axis, and the panel below or None.
    """
    values = values.dropna()
    collapsed = is_accuracy(metric) & (values < COLLAPSED_BELOW)
    broken = bool(collapsed.any() and not collapsed.all() and values[~collapsed].min() > _LEARNED_FROM)
    if not broken and len(values):
        # Log odds have no place for 100 %, and a logarithm none for 0.
        highest = (1 + values.max()) / 2 if is_accuracy(metric) else 2 * values.max()
        values = pd.concat([values, bars.dropna().clip(values.min() / 2, highest)])
    heights = [3.0, 1.0] if broken else [3.5]
    heights += [2.0] if lower_panel else []
    all_axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    value_axes = list(all_axes[: 2 if broken else 1])
    for axes, part in zip(value_axes, [values[~collapsed], values[collapsed]] if broken else [values], strict=True):
        set_range(axes, part, metric)
    if broken:
        _mark_break(*value_axes)
    for axes in all_axes:
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=_TICK_SIZE)
    return value_axes, all_axes[-1] if lower_panel else None


class _PowerFormatter(LogFormatterSciNotation):
    """Labels such as 3×10⁻⁶ in plain letters: matplotlib's own are mathematics, which `figures.STYLE` does not read."""

    def __call__(self, value: float, position: int | None = None) -> str:
        text = str(super().__call__(value, position)).removeprefix(r"$\mathdefault{").removesuffix("}$")
        base, _, exponent = text.replace(r"\times", "×").partition("^{")
        return base + exponent.rstrip("}").translate(_SUPERSCRIPTS)


def set_range(axes: Axes, values: pd.Series, metric: str) -> None:
    """Set a vertical axis that shows all values of a metric.

    Accuracies are in percent, spaced by log odds where their errors differ much; other metrics on a logarithmic axis if
    they are positive and differ by more than 20 times.
    """
    low, high = values.min(), values.max()
    if is_accuracy(metric):
        _set_accuracy_range(axes, low, high)
    elif low > 0 and high > 20 * low:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_PowerFormatter())
        axes.yaxis.set_minor_formatter(_PowerFormatter())
        axes.set_ylim(low / 1.3, high * 1.3)
    else:
        margin = 0.08 * (high - low) or abs(high) / 10 or 1.0
        axes.set_ylim(low - margin, high + margin)


def _set_accuracy_range(axes: Axes, low: float, high: float) -> None:
    if high < 1 and low > COLLAPSED_BELOW and (1 - low) > _WIDE_RATIO * (1 - high):
        axes.set_yscale("logit")
        margin = 0.08 * (logit(high) - logit(low))
        low, high = expit(logit(low) - margin), expit(logit(high) + margin)
        axes.yaxis.set_major_locator(FixedLocator(_choose_ticks(low, high)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        margin = max(0.08 * (high - low), 0.0005)
        low, high = low - margin, high + margin
    axes.yaxis.set_major_formatter(format_percent)
    axes.set_ylim(low, high)


def set_difference_range(axes: Axes, differences: pd.Series, halves: pd.Series, metric: str) -> None:
    """Set a vertical axis around zero; for accuracies in points, and logarithmic beyond one point where they are large.

    Args:
        axes: to set.
        differences: of means.
        halves: of their intervals, NaN for one pair; longer ones than four times the median may leave the panel.
        metric: what is compared.
    """
    halves = halves.fillna(0).clip(upper=4 * halves.median()).fillna(0)
    low, high = min((differences - halves).min(), 0), max((differences + halves).max(), 0)
    if not is_accuracy(metric):
        margin = 0.1 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
        return
    if max(-low, high) > _LARGE_DIFFERENCE:
        axes.set_yscale("symlog", linthresh=0.01, linscale=1.0)
        axes.yaxis.set_major_locator(FixedLocator([sign * step for sign in (-1, 1) for step in _STEPS] + [0]))
        axes.yaxis.set_minor_locator(NullLocator())
    # After the scale, which sets a formatter of its own.
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.3g}" if value else "0")
    axes.set_ylim(1.6 * low - 0.003, 1.6 * high + 0.003)


def _mark_break(upper: Axes, lower: Axes) -> None:
    """Draw slanted strokes where a range is left out."""
    upper.spines.bottom.set_visible(False)
    lower.spines.top.set_visible(False)
    upper.tick_params(bottom=False)
    stroke: dict[str, Any] = {"marker": [(-1, -0.5), (1, 0.5)], "markersize": 9, "linestyle": "none"}
    stroke |= {"color": "k", "clip_on": False}
    upper.plot([0, 1], [0, 0], transform=upper.transAxes, **stroke)
    lower.plot([0, 1], [1, 1], transform=lower.transAxes, **stroke)


def _choose_ticks(low: float, high: float) -> list[float]:
    """Choose round fractions in a range, from the highest down, as far apart as their labels need."""
    room = 0.05 * (logit(high) - logit(low))
    chosen: list[float] = []
    for tick in sorted(_PERCENT_TICKS, reverse=True):
        if low <= tick <= high and (not chosen or logit(chosen[-1]) - logit(tick) >= room):
            chosen.append(tick)
    return chosen
