"""The main process's side of a search: it hands out trials, hears how they go, and tells when to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from hydra.errors import HydraException

from mnist_flow.errors import UserError
from mnist_flow.sweeps.search.messages import Assignment
from mnist_flow.sweeps.search.space import Compose, Space
from mnist_flow.sweeps.search.study import STATES, State, TrialRecord, make_trial

log = logging.getLogger(__name__)

# Failures one after the other that end a search.
MAX_FAILURES = 10

Unit = Literal["epoch", "seed"]


@dataclass(kw_only=True)
class TrialQueue:
    """Hands out trials, one at a time to each process that asks; one whose process is lost is tried again, once.

    Any thread may call its methods. What goes wrong while a trial is assigned makes it a failed one.
    """

    # Writes a trial as an assignment; raises UserError where its config is wrong.
    assign: Callable[[TrialRecord], Assignment]
    records: list[TrialRecord] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    # Those of the records that are still to be handed out, or are again.
    waiting: deque[TrialRecord] = field(default_factory=deque)
    # Trials whose processes were lost since the launcher was started, in that order; how often each was lost.
    lost: list[TrialRecord] = field(default_factory=list)
    losses: Counter[int] = field(default_factory=Counter)

    def count_left(self) -> int:
        """Number of trials that are still to be handed out."""
        with self.lock:
            return len(self.waiting)

    def take(self) -> tuple[TrialRecord, Assignment] | None:
        """Hand out the next trial; None: no further one is wanted."""
        with self.lock:
            while self.count_left():
                record = self._pop()
                record.replicates, record.run_ids, record.kept, record.started = [], [], False, time.time()
                try:
                    return record, self._assign(record)
                except (UserError, HydraException) as error:
                    self.end(record, "failed", reason=str(error))
            return None

    def report(self, record: TrialRecord, unit: Unit, step: int, value: float) -> str | None:
        """Hear of an objective after an epoch or a seed, from 1; returns why the trial is to end, or None."""
        return None

    def end(self, record: TrialRecord, state: State, reason: str = "") -> None:
        """Hear of a trial's end."""
        with self.lock:
            record.state, record.reason, record.ended = state, reason, time.time()

    def lose(self, record: TrialRecord) -> None:
        """Hear that the process of a trial is gone: the trial is tried again, once."""
        with self.lock:
            self.lost.append(record)
            self.losses[record.number] += 1
            if self.losses[record.number] > 1:
                self.end(record, "failed", reason="its process was lost twice")
            else:
                log.warning("the process of trial %d is gone; the trial is tried again", record.number)
                self.waiting.append(record)

    def forgive_bystanders(self) -> None:
        """Count only the first loss: when a process of a pool is gone, the pool ends the others, too."""
        with self.lock:
            for record in self.lost[1:]:
                if self.losses[record.number] == 1:
                    self.losses[record.number] = 0
            self.lost.clear()

    def _pop(self) -> TrialRecord:
        return self.waiting.popleft()

    def _assign(self, record: TrialRecord) -> Assignment:
        return self.assign(record)


@dataclass(kw_only=True)
class Coordinator(TrialQueue):
    """Hands out the trials of a search, each chosen when a process asks for it."""

    study: optuna.Study
    space: Space
    compose: Compose
    # Is told of each trial that has ended.
    on_end: Callable[[TrialRecord], None]
    n_trials: int
    # What the pruner judges: the epochs of a run, or the seeds of a trial; None: nothing is pruned.
    judged: Unit | None = None
    # Time of `time.monotonic` at which no further trial is begun.
    deadline: float = float("inf")
    failures_in_a_row: int = 0
    _handles: dict[int, optuna.Trial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for record in self.records:
            if record.state == "running":
                self.waiting.append(record)
            else:
                self.study.add_trial(make_trial(self.space.dimensions, record))

    @property
    def has_given_up(self) -> bool:
        """Whether too many trials have failed one after the other."""
        return self.failures_in_a_row >= MAX_FAILURES

    def count_left(self) -> int:
        """Number of trials that are still to be handed out."""
        with self.lock:
            if self.has_given_up or time.monotonic() > self.deadline:
                return 0
            return len(self.waiting) + max(0, self.n_trials - len(self.records))

    def report(self, record: TrialRecord, unit: Unit, step: int, value: float) -> str | None:
        """Hear of an objective after an epoch or a seed, from 1; returns why the trial is to end, or None."""
        if unit != self.judged:
            return None
        with self.lock:
            record.reports[step] = value
            handle = self._handles[record.number]
            handle.report(value, step)
            if not handle.should_prune():
                return None
            return f"its objective {value:.6g} at {unit} {step} is behind that of other trials"

    def end(self, record: TrialRecord, state: State, reason: str = "") -> None:
        """Hear of a trial's end."""
        with self.lock:
            super().end(record, state, reason)
            handle = self._handles.pop(record.number)
            if state == "complete":
                self.study.tell(handle, record.objectives)
            else:
                self.study.tell(handle, state=STATES[state])
            self.failures_in_a_row = self.failures_in_a_row + 1 if state == "failed" else 0
            self.on_end(record)

    def _pop(self) -> TrialRecord:
        if not self.waiting:
            record = TrialRecord(max((known.number for known in self.records), default=-1) + 1, {})
            self.records.append(record)
            self.waiting.append(record)
        return super()._pop()

    def _assign(self, record: TrialRecord) -> Assignment:
        if record.number not in self._handles:
            if record.choices:
                self.study.enqueue_trial(dict(record.choices))
            handle = self._handles[record.number] = self.study.ask()
            record.choices = self.space.suggest(handle, self.compose)
        return super()._assign(record)


class TrialConnection:
    """Answers the process of one trial."""

    def __init__(self, queue: TrialQueue) -> None:
        self._queue = queue
        self._record: TrialRecord | None = None

    def answer(self, request: Any, *arguments: Any) -> Any:
        """Answer a request of `worker`: next, run, epoch, result, complete, pruned or failed."""
        if request == "next":
            taken = self._queue.take()
            if taken is None:
                return None
            self._record, assignment = taken
            return assignment
        record = self._record
        assert record is not None
        if request in ("complete", "pruned", "failed"):
            self._record = None
            self._queue.end(record, request, *arguments)
            return None
        return getattr(self, f"_hear_{request}")(record, *arguments)

    def lose(self) -> None:
        """Hear that the connection has ended, which is all right after the trial's end."""
        if self._record is not None:
            self._queue.lose(self._record)

    def _hear_run(self, record: TrialRecord, run_id: str, was_finished: bool) -> None:
        record.run_ids.append(run_id)
        record.kept |= was_finished

    def _hear_epoch(self, record: TrialRecord, epoch: int, value: float | None) -> str | None:
        return None if value is None else self._queue.report(record, "epoch", epoch, value)

    def _hear_result(self, record: TrialRecord, number: int, objectives: list[float], is_last: bool) -> str | None:
        record.replicates.append(objectives)
        reason = None if is_last else self._queue.report(record, "seed", number, objectives[0])
        record.kept |= reason is not None
        return reason
