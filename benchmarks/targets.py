"""What was promised, and whether it is kept."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.statistics import compare, compute_median, select
from benchmarks.work import TRACKED_RUNS

_GIGABYTE = 1e9
# Seconds a run, and share of the untracked time, that tracking may cost.
_TRACKING_SECONDS, _TRACKING_SHARE = 0.7, 0.03

# Piece, contender, reference, measure, limit of the median ratio, in words.
_RATIOS = (
    ("a", "ours", "keras", "seconds", 0.65, "(a) of the plain Keras loop's time"),
    ("a", "ours", "autolog", "seconds", 0.45, "(a) of the autolog loop's time"),
    ("b", "ours", "keras", "seconds", 0.35, "(b) of the plain Keras loop's time"),
    ("c", "ours", "keras", "seconds", 1.0, "(c) of the plain Keras loop's time, float32"),
    ("c", "ours_bfloat16", "keras", "seconds", 0.7, "(c) the same, mixed_bfloat16, where the processor has it"),
    ("d", "ours", "keras", "seconds", 1.1, "(d) of the plain Keras loop's time, imports included"),
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


@dataclass(frozen=True)
class Judged:
    """A target with what was measured."""

    what: str
    target: str
    measured: str
    met: bool | None  # None: not measured

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
    return [*_judge_ratios(pieces), _judge_tracking(pieces), *_judge_others(pieces)]


def compute_tracking(piece: Mapping[str, Any]) -> Tracking | None:
    """The cost of tracking, the median over the rounds; None where something was not measured.

    Args:
        piece: the record of the work `tracking`: its contenders are on and off, each with few and with many runs.
    """
    names = {(state, n): f"{state}_{n}" for state in ("off", "on") for n in TRACKED_RUNS}
    seconds = {key: select(piece["measurements"], name, "seconds") for key, name in names.items()}
    rounds = sorted(set.intersection(*(set(found) for found in seconds.values())))
    if not rounds:
        return None
    few, many = TRACKED_RUNS

    def compute_slope(state: str, number: int) -> float:
        return (seconds[state, many][number] - seconds[state, few][number]) / (many - few)

    off = {number: compute_slope("off", number) for number in rounds}
    extra = {number: compute_slope("on", number) - off[number] for number in rounds}
    once = (seconds["on", few][number] - seconds["off", few][number] - few * extra[number] for number in rounds)
    return Tracking(
        run_seconds=statistics.median(extra.values()),
        share=statistics.median(extra[number] / off[number] for number in rounds),
        sweep_seconds=statistics.median(once),
        met=statistics.median(extra[number] - _TRACKING_SHARE * off[number] for number in rounds) <= _TRACKING_SECONDS,
    )


def _judge_ratios(pieces: Mapping[str, Mapping[str, Any]]) -> Iterator[Judged]:
    for key, contender, reference, measure, limit, what in _RATIOS:
        target = f"≤ {limit:g}"
        ratio = compare(pieces[key]["measurements"], contender, reference, measure) if key in pieces else None
        if ratio is None:
            yield Judged(what, target, "–", None)
        else:
            yield Judged(what, target, f"{ratio.median:.2f} (minimum {ratio.minimum:.2f})", ratio.median <= limit)


def _judge_tracking(pieces: Mapping[str, Mapping[str, Any]]) -> Judged:
    what = "tracking on against off"
    target = f"≤ {_TRACKING_SHARE:.0%} + {_TRACKING_SECONDS} s a run"
    cost = compute_tracking(pieces["tracking"]) if "tracking" in pieces else None
    if cost is None:
        return Judged(what, target, "–", None)
    return Judged(what, target, f"{cost.run_seconds:+.2f} s a run ({cost.share:+.1%})", cost.met)


def _judge_others(pieces: Mapping[str, Mapping[str, Any]]) -> Iterator[Judged]:
    seconds = compute_median(pieces["help"]["measurements"], "ours", "seconds") if "help" in pieces else None
    shown = "–" if seconds is None else f"{seconds:.2f} s"
    yield Judged("`--help`", "≤ 1.5 s", shown, None if seconds is None else seconds <= 1.5)
    imported = pieces["f"]["facts"].get("tensorflow_imported") if "f" in pieces else None
    yield Judged(
        "`analyze` imports TensorFlow",
        "no",
        {None: "–", "0": "no", "1": "yes"}[imported],
        None if imported is None else imported == "0",
    )
    for key in ("a", "b", "c"):
        peaks = select(pieces[key]["measurements"], "ours", "peak_bytes") if key in pieces else {}
        peak = max(peaks.values(), default=None)
        shown = "–" if peak is None else f"{peak / _GIGABYTE:.2f} GB"
        met = None if peak is None else peak < 1.6 * _GIGABYTE
        yield Judged(f"peak memory of a worker, ({key})", "< 1.6 GB", shown, met)
