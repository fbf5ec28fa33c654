"""Published numbers beside ours: what a report printed, what its setting gave here, whether the two agree. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import pandas as pd
from scipy import stats

from mnist_flow.analysis.runs import is_same_value
from mnist_flow.analysis.statistics import COLLAPSED_BELOW, CONFIDENCE
from mnist_flow.config.presets import Preset
from mnist_flow.config.published import PublishedResult

# Images behind every published accuracy.
_N_IMAGES = 10_000
_SUM, _FINDING = "accuracy_mean_plus_std", "finding"
# Columns of our tables where they are not called like the published metric.
_COLUMNS = {"shifted_accuracy": "accuracy", _SUM: "test_accuracy"}
_LOSSES = ("test_loss", "loss")
# Equal fractions of 10,000 images differ by rounding only, as do equal floats.
_ONE_IMAGE, _ROUNDING = 0.5 / _N_IMAGES, 1e-9


@dataclass(frozen=True)
class Verdict:
    """Whether two samples of a measure can come from one distribution."""

    agrees: bool | None  # None: there is nothing to judge by
    half_width: float  # of the 95 % interval of the difference; NaN where there is none
    basis: str  # what the interval rests on, in a few words


@dataclass(frozen=True)
class Comparison:
    """One published number, or curve, beside the runs of its setting."""

    published: PublishedResult
    setting: str
    ours: tuple[float, ...]  # one value a seed
    run_ids: tuple[str, ...]
    verdict: Verdict

    @property
    def report(self) -> str:
        """000 to 004."""
        return self.published.row[:3]

    @property
    def is_loss(self) -> bool:
        """A loss, in nats; otherwise an accuracy, a fraction."""
        return self.published.metric in _LOSSES

    @property
    def mean(self) -> float:
        """Of our values, or where that was printed their mean plus their standard deviation; NaN without runs."""
        if not self.ours:
            return math.nan
        return fmean(self.ours) + (self.std if self.published.metric == _SUM else 0.0)

    @property
    def std(self) -> float:
        """Sample standard deviation (ddof = 1) of our values; NaN below two."""
        return stdev(self.ours) if len(self.ours) > 1 else math.nan

    @property
    def difference(self) -> float:
        """Ours less published, of the means; NaN without runs, or where only a curve was shown."""
        values = self.published.values  # noqa: PD011 - no table
        return self.mean - fmean(values) if values else math.nan


def compare_with_published(
    preset: Preset, runs: pd.DataFrame, shifted: pd.DataFrame, *, same_settings: bool = True
) -> list[Comparison]:
    """What a preset's reports printed, beside its runs.

    Args:
        preset: with the published numbers.
        same_settings: the runs are those of the preset; otherwise nothing is judged.
        runs: one row a finished run of the preset as it is: run_id, params by config path, final metrics.
        shifted: table `shift` of these runs' evaluations: run_id, direction, pixels, fill, accuracy; may be empty.
    """
    comparisons = []
    for published in preset.published.results:
        chosen = _select(shifted if published.metric == "shifted_accuracy" else runs, published.at)
        ours = tuple(map(float, chosen.get(_COLUMNS.get(published.metric, published.metric), ())))
        judged = same_settings or not ours
        verdict = _judge(published, ours) if judged else Verdict(None, math.nan, "other settings")
        run_ids = tuple(chosen.get("run_id", ()))
        comparisons.append(Comparison(published, preset.published.setting, ours, run_ids, verdict))
    return comparisons


def judge(published: Sequence[float], mean_of: int, ours: Sequence[float], *, is_accuracy: bool) -> Verdict:
    """Whether published and own values agree within sampling error, at the 95 % level.

    Several published replicates are compared by Welch's interval of the difference. One published number is compared
    with the prediction interval that three or more of our runs give for a mean of `mean_of` runs. With fewer runs of
    ours nothing tells the spread over seeds; then the binomial error of two accuracies on 10,000 images stands in.
    Accuracies of networks that learned nothing are compared by count: they have no normal spread.

    Args:
        published: every replicate, or one mean; empty where only a curve was shown.
        mean_of: runs behind a single published number.
        ours: one value a seed.
        is_accuracy: a fraction of the test images, 0 to 1.
    """
    if not published or not ours:
        return Verdict(None, math.nan, "nothing published to compare" if not published else "not run yet")
    if is_accuracy and min(*published, *ours) < COLLAPSED_BELOW and len(published) == 1:
        same = sum(math.isclose(value, published[0], abs_tol=_ONE_IMAGE) for value in ours)
        return Verdict(same == len(ours), math.nan, f"{same} of {len(ours)} runs end at the published accuracy")
    if len(published) > 1 and len(ours) > 1:
        half = _compute_welch(published, ours)
        basis = "Welch"
    elif len(ours) >= 3:
        half = _compute_prediction(ours, 1 / mean_of + 1 / len(ours))
        basis = f"prediction from {len(ours)} seeds"
    elif is_accuracy:
        fractions = fmean(published), fmean(ours)
        error = math.sqrt(sum(p * (1 - p) for p in fractions) / _N_IMAGES)
        half = float(stats.norm.interval(CONFIDENCE, scale=error)[1])
        basis = "binomial, 10,000 images"
    else:
        return Verdict(None, math.nan, "too few runs to judge a loss")
    return Verdict(abs(fmean(ours) - fmean(published)) <= half + _ROUNDING, half, basis)


def judge_sum(published: float, mean_of: int, ours: Sequence[float]) -> Verdict:
    """`judge` for a printed sum of mean and standard deviation of `mean_of` runs; the latter's error is s/√(2(n-1))."""
    n = len(ours)
    if n < 3 or mean_of < 2:
        return Verdict(None, math.nan, "too few runs to judge a standard deviation")
    parts = 1 / mean_of + 1 / n + 1 / (2 * (mean_of - 1)) + 1 / (2 * (n - 1))
    half = _compute_prediction(ours, parts)
    difference = fmean(ours) + stdev(ours) - published
    return Verdict(abs(difference) <= half + _ROUNDING, half, f"mean + sd, prediction from {n} seeds")


def _compute_welch(published: Sequence[float], ours: Sequence[float]) -> float:
    """Half of Welch's interval of the difference of two means; 0 where neither sample has a spread."""
    if len(set(published)) == len(set(ours)) == 1:
        return 0.0
    low, high = stats.ttest_ind(ours, published, equal_var=False).confidence_interval(CONFIDENCE)
    return float(high - low) / 2


def _compute_prediction(ours: Sequence[float], parts: float) -> float:
    """Half of the t interval of a value whose variance is `parts` times that of our values."""
    return float(stats.t.interval(CONFIDENCE, len(ours) - 1)[1]) * stdev(ours) * math.sqrt(parts)


def _judge(published: PublishedResult, ours: Sequence[float]) -> Verdict:
    if published.metric == _FINDING:
        return Verdict(None, math.nan, "in words")
    if published.metric == _SUM and ours:
        return judge_sum(fmean(published.values), published.mean_of, ours)
    return judge(published.values, published.mean_of, ours, is_accuracy=published.metric not in _LOSSES)


def _select(table: pd.DataFrame, at: Mapping[str, float | str]) -> pd.DataFrame:
    """The rows of a table, which may be empty, whose columns have these values."""
    for key, value in at.items():
        if len(table):
            table = table[[is_same_value(cell, value) for cell in table[key]]]
    return table
