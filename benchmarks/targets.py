"""What was promised, and whether it is kept."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.pieces import OURS
from benchmarks.searches import ADDED_TRIALS, LOOP
from benchmarks.statistics import compare, compute_median, select
from benchmarks.traces import find_seconds, list_traces
from benchmarks.work import TRACKED_RUNS

_GIGABYTE = 1e9
# Seconds a run, and share of the untracked time, that tracking may cost.
_TRACKING_SECONDS, _TRACKING_SHARE = 0.7, 0.03
# Seconds that a trial may cost beyond a grid's job; share of the plain loop's time after which ours has its result.
_TRIAL_SECONDS, _SEARCH_SHARE = 0.15, 2 / 3

# Piece, contender, reference, measure, limit of the median ratio, in words.
_RATIOS = (
    ("a", "ours", "keras", "seconds", 0.65, "(a) of the plain Keras loop's time"),
    ("a", "ours", "autolog", "seconds", 0.45, "(a) of the autolog loop's time"),
    ("b", "ours", "keras", "seconds", 0.35, "(b) of the plain Keras loop's time"),
    ("c", "ours", "keras", "seconds", 1.0, "(c) of the plain Keras loop's time, float32"),
    ("c", "ours_bfloat16", "keras", "seconds", 0.7, "(c) the same, mixed_bfloat16, where the processor has it"),
    ("d", "ours", "keras", "seconds", 1.1, "(d) of the plain Keras loop's time, imports included"),
    ("d", "ours", "torch", "seconds", 1.0, "(d) of the plain PyTorch loop's time, imports included"),
    ("epochs_64_64", "ours", "keras", "epoch_seconds", 0.4, "an epoch of 64-64, one process of one thread"),
    ("epochs_64_64", "ours_all_threads", "keras", "epoch_seconds", 0.4, "the same, a thread a core"),
    ("epochs_64_64", "ours_side_by_side", "keras", "epoch_seconds", 0.4, "an epoch and run of 64-64, a worker a core"),
    ("epochs_500_300", "ours", "keras", "epoch_seconds", 0.65, "an epoch of 500-300, one process of one thread"),
    ("epochs_500_300", "ours_all_threads", "keras", "epoch_seconds", 0.65, "the same, a thread a core"),
    (
        *("epochs_500_300", "ours_side_by_side", "keras", "epoch_seconds", 0.65),
        "an epoch and run of 500-300, a worker a core",
    ),
)
# Question to a store of 10,000 runs, seconds that its answer may take, in words.
_GROWTH = (
    ("plan", 6, "a plan of three jobs, 10,000 runs"),
    ("resume", 15, "a plan of 1,000 jobs, 10,000 runs"),
    ("learning_rate", 10, "study=learning_rate, 10,000 runs"),
    ("curves", 40, "study=curves, 10,000 runs"),
)


@dataclass(frozen=True)
class Judged:
    """A target with what was measured."""

    what: str
    target: str
    measured: str = "–"
    met: bool | None = None  # None: not measured

    @property
    def verdict(self) -> str:
        return {True: "met", False: "missed", None: "not measured"}[self.met]


@dataclass(frozen=True)
class Tracking:
    """What tracking adds."""

    run_seconds: float  # to each run
    share: float  # run_seconds of an untracked run's time
    sweep_seconds: float  # to each sweep, whatever its length: imports, creation of the store, its parent
    met: bool


def judge_all(pieces: Mapping[str, Mapping[str, Any]]) -> list[Judged]:
    """Every target.

    Args:
        pieces: records by the key of their work.
    """
    searches = [_judge_trial(pieces), _judge_search(pieces)]
    return [*_judge_ratios(pieces), _judge_tracking(pieces), *searches, *_judge_growth(pieces), *_judge_others(pieces)]


@dataclass(frozen=True)
class Costs:
    """What each run, and each command, takes longer in one state than in another, seconds by round."""

    base: Mapping[int, float]  # what a run takes in the other state
    run: Mapping[int, float]
    command: Mapping[int, float]

    @property
    def run_seconds(self) -> float:
        return statistics.median(self.run.values())

    @property
    def command_seconds(self) -> float:
        return statistics.median(self.command.values())


def compute_costs(piece: Mapping[str, Any], base: str, other: str, counts: tuple[int, int]) -> Costs | None:
    """Tell what a run costs from what a command costs, by few and by many runs; None where a part was not measured.

    Args:
        piece: a record whose contenders are named by their state and number of runs: `off_2`.
        base: the state that the other one is compared with.
        other: the state.
        counts: few and many runs.
    """
    names = {(state, n): f"{state}_{n}" for state in (base, other) for n in counts}
    seconds = {key: select(piece["measurements"], name, "seconds") for key, name in names.items()}
    rounds = sorted(set.intersection(*(set(found) for found in seconds.values())))
    if not rounds:
        return None
    few, many = counts

    def compute_slope(state: str, number: int) -> float:
        return (seconds[state, many][number] - seconds[state, few][number]) / (many - few)

    slopes = {number: compute_slope(base, number) for number in rounds}
    extra = {number: compute_slope(other, number) - slopes[number] for number in rounds}
    once = {number: seconds[other, few][number] - seconds[base, few][number] - few * extra[number] for number in rounds}
    return Costs(slopes, extra, once)


def compute_tracking(piece: Mapping[str, Any]) -> Tracking | None:
    """The cost of tracking, the median over the rounds; None where something was not measured.

    Args:
        piece: the record of the work `tracking`: its contenders are on and off, each with few and with many runs.
    """
    costs = compute_costs(piece, "off", "on", TRACKED_RUNS)
    if costs is None:
        return None
    off, extra = costs.base, costs.run
    return Tracking(
        run_seconds=costs.run_seconds,
        share=statistics.median(extra[number] / off[number] for number in off),
        sweep_seconds=costs.command_seconds,
        met=statistics.median(extra[number] - _TRACKING_SHARE * off[number] for number in off) <= _TRACKING_SECONDS,
    )


def compute_trial_costs(piece: Mapping[str, Any]) -> Costs | None:
    """What a trial costs beyond a grid's job; None where something was not measured."""
    return compute_costs(piece, "grid", "search", ADDED_TRIALS)


def list_reached(piece: Mapping[str, Any], contender: str) -> dict[int, tuple[float | None, float]]:
    """When a contender had what the plain loop had in the end, None: never; and the plain loop's time; by round.

    Args:
        piece: the record of a work whose measurements have traces.
    """
    loops = {number: one for name, number, one in list_traces(piece) if name == LOOP}
    return {
        number: (find_seconds(one["trace"], loops[number]["best"]), loops[number]["seconds"])
        for name, number, one in list_traces(piece)
        if name == contender and number in loops
    }


def _judge_number(what: str, target: str, value: float | None, template: str, limit: float) -> Judged:
    """A number, told by a template, that may not be above a limit; None: not measured."""
    return Judged(what, target) if value is None else Judged(what, target, template.format(value), value <= limit)


def _judge_ratios(pieces: Mapping[str, Mapping[str, Any]]) -> Iterator[Judged]:
    for key, contender, reference, measure, limit, what in _RATIOS:
        target = f"≤ {limit:g}"
        ratio = compare(pieces[key]["measurements"], contender, reference, measure) if key in pieces else None
        if ratio is None:
            yield Judged(what, target)
        else:
            yield Judged(what, target, f"{ratio.median:.2f} (minimum {ratio.minimum:.2f})", ratio.median <= limit)


def _judge_tracking(pieces: Mapping[str, Mapping[str, Any]]) -> Judged:
    what = "tracking on against off"
    target = f"≤ {_TRACKING_SHARE:.0%} + {_TRACKING_SECONDS} s a run"
    cost = compute_tracking(pieces["tracking"]) if "tracking" in pieces else None
    if cost is None:
        return Judged(what, target)
    return Judged(what, target, f"{cost.run_seconds:+.2f} s a run ({cost.share:+.1%})", cost.met)


def _judge_trial(pieces: Mapping[str, Mapping[str, Any]]) -> Judged:
    what, target = "(g) a trial beyond a grid's job, 1,000 trials known", f"≤ {_TRIAL_SECONDS} s"
    costs = compute_trial_costs(pieces["g"]) if "g" in pieces else None
    seconds = None if costs is None else costs.run_seconds
    return _judge_number(what, target, seconds, "{:+.2f} s", _TRIAL_SECONDS)


def _judge_search(pieces: Mapping[str, Mapping[str, Any]]) -> Judged:
    what, target = "(h) time until our search has what plain Optuna has in the end, of its time", "≤ 2/3"
    reached = list_reached(pieces["h"], OURS) if "h" in pieces else {}
    if not reached:
        return Judged(what, target)
    shares = [math.inf if seconds is None else seconds / whole for seconds, whole in reached.values()]
    median = statistics.median(shares)
    told = ", ".join("never" if share == math.inf else f"{share:.2f}" for share in shares)
    return Judged(
        what, target, f"{'never' if median == math.inf else f'{median:.2f}'} ({told})", median <= _SEARCH_SHARE
    )


def _judge_growth(pieces: Mapping[str, Mapping[str, Any]]) -> Iterator[Judged]:
    measurements = pieces["growth"]["measurements"] if "growth" in pieces else []
    for question, limit, what in _GROWTH:
        seconds = compute_median(measurements, f"{question}_10000", "seconds")
        yield _judge_number(what, f"≤ {limit} s", seconds, "{:.1f} s", limit)
    peak = max((peak / _GIGABYTE for peak in select(measurements, "curves_10000", "peak_bytes").values()), default=None)
    yield _judge_number("peak memory of study=curves, 10,000 runs", "≤ 1 GB", peak, "{:.2f} GB", 1)


def _judge_others(pieces: Mapping[str, Mapping[str, Any]]) -> Iterator[Judged]:
    seconds = compute_median(pieces["help"]["measurements"], "ours", "seconds") if "help" in pieces else None
    yield _judge_number("`--help`", "≤ 1.5 s", seconds, "{:.2f} s", 1.5)
    imported = pieces["f"]["facts"].get("tensorflow_imported") if "f" in pieces else None
    met = None if imported is None else imported == "0"
    yield Judged("`analyze` imports TensorFlow", "no", {None: "–", True: "no", False: "yes"}[met], met)
    for key in ("a", "b", "c"):
        peaks = select(pieces[key]["measurements"], "ours", "peak_bytes") if key in pieces else {}
        peak = max(peaks.values(), default=None)
        shown = "–" if peak is None else f"{peak / _GIGABYTE:.2f} GB"
        met = None if peak is None else peak < 1.6 * _GIGABYTE
        yield Judged(f"peak memory of a worker, ({key})", "< 1.6 GB", shown, met)
