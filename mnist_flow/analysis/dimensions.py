"""A key of a search's space as an axis: where its values lie, how far it reaches, and its ticks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

# Choices are drawn a little beside each other, in fractions of the distance between two of them.
_SPREAD = 0.15
# Letters of a choice that are told whole.
_LETTERS = 16
# Beyond both ends of an axis, as a fraction of its length.
_MARGIN = 0.04


@dataclass(frozen=True)
class Dimension:
    """The values that a search may choose for a key: numbers from low to high, or choices at 0, 1, …"""

    key: str
    low: float
    high: float
    log: bool = False
    # Empty: it is a range of numbers.
    choices: tuple[str, ...] = ()

    @classmethod
    def read(cls, key: str, distribution: Any) -> Dimension:
        """Read a distribution of Optuna."""
        choices = tuple(map(str, getattr(distribution, "choices", ())))
        if choices:
            return cls(key, -0.5, len(choices) - 0.5, choices=choices)
        return cls(key, distribution.low, distribution.high, distribution.log)

    def place(self, values: pd.Series) -> np.ndarray:
        """Place values on the axis: numbers in their unit, or as log10 where the range is logarithmic; NaN for none."""
        if not self.choices:
            numbers = values.to_numpy(dtype=float)
            return np.log10(numbers) if self.log else numbers
        places = {choice: place for place, choice in enumerate(self.choices)}
        # The same in each drawing.
        beside = np.random.default_rng(0).uniform(-_SPREAD, _SPREAD, len(values))
        return np.asarray(values.map(places).to_numpy(dtype=float) + beside)

    def normalise(self, places: np.ndarray) -> np.ndarray:
        """Turn places on the axis into fractions of its length, 0 to 1."""
        low, high = self._limits
        return np.asarray((places - low) / ((high - low) or 1.0))

    def list_ticks(self) -> list[tuple[float, str]]:
        """Fractions and labels: both ends of a range, or every choice."""
        if self.choices:
            places = self.normalise(np.arange(len(self.choices), dtype=float))
            return list(zip(places.tolist(), shorten_choices(self.choices), strict=True))
        return [(0.0, f"{self.low:g}"), (1.0, f"{self.high:g}")]

    def set_axis(self, axes: Axes, vertical: bool = False) -> None:
        """Give an axis, the horizontal one or the vertical one, the limits, ticks and label of this key."""
        axis = axes.yaxis if vertical else axes.xaxis
        low, high = self._limits
        margin = 0.0 if self.choices else _MARGIN * (high - low)
        (axes.set_ylim if vertical else axes.set_xlim)(low - margin, high + margin)
        axis.set_label_text(self.key)
        if self.choices:
            labels = shorten_choices(self.choices)
            turned = 35 if not vertical and len("".join(labels)) > 20 else 0
            axis.set_ticks(range(len(labels)), labels, rotation=turned)
        elif self.log:
            axis.set_major_locator(MaxNLocator(nbins=4, integer=high - low > 1))
            axis.set_major_formatter(lambda place, _: f"{10**place:.2g}")

    @property
    def _limits(self) -> tuple[float, float]:
        return (float(np.log10(self.low)), float(np.log10(self.high))) if self.log else (self.low, self.high)


def shorten_choices(choices: Sequence[str]) -> list[str]:
    """Shorten choices for the ticks of an axis: of long ones with the same words, such as lists, the words that differ.

    `[{filters:[8],kernel_size:5}]` and `[{filters:[16],kernel_size:5}]` become `8` and `16`; others lose their middle.
    """
    if max(map(len, choices)) <= _LETTERS:
        return list(choices)
    words = [re.findall(r"[\w.+-]+", choice) for choice in choices]
    if len({len(one) for one in words}) == 1:
        differ = [place for place, column in enumerate(zip(*words, strict=True)) if len(set(column)) > 1]
        told = [", ".join(one[place] for place in differ) for one in words]
        if len(set(told)) == len(choices) and max(map(len, told)) <= _LETTERS:
            return told
    half = (_LETTERS - 1) // 2
    return [text if len(text) <= _LETTERS else f"{text[:half]}…{text[-half:]}" for text in choices]
