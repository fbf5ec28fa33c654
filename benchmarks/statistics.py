"""Measurements of contenders, compared round by round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """A contender's number divided by another's, paired by round: what slows the machine for a while slows both."""

    by_round: Mapping[int, float]

    @property
    def minimum(self) -> float:
        return min(self.by_round.values())

    @property
    def median(self) -> float:
        return statistics.median(self.by_round.values())


def select(measurements: Sequence[Mapping[str, Any]], contender: str, measure: str) -> dict[int, float]:
    """A contender's numbers by round."""
    return {one["round"]: one[measure] for one in measurements if one["contender"] == contender and measure in one}


def compare(
    measurements: Sequence[Mapping[str, Any]], contender: str, reference: str, measure: str = "seconds"
) -> Ratio | None:
    """Ratios of the rounds in which both were measured; None where there is no such round."""
    ours, theirs = select(measurements, contender, measure), select(measurements, reference, measure)
    ratios = {number: ours[number] / theirs[number] for number in sorted(ours.keys() & theirs.keys())}
    return Ratio(ratios) if ratios else None


def compute_median(measurements: Sequence[Mapping[str, Any]], contender: str, measure: str) -> float | None:
    """The median over the rounds; None where the contender has no such number."""
    values = select(measurements, contender, measure)
    return statistics.median(values.values()) if values else None
