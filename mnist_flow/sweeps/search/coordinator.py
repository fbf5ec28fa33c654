"""The main process's side of a search: it hands out trials, hears how they go, and tells when to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import optuna
from hydra.errors import HydraException

from mnist_flow.errors import UserError
from mnist_flow.sweeps.search.messages import Assignment
from mnist_flow.sweeps.search.space import Compose, Space
from mnist_flow.sweeps.search.study import STATES, State, TrialRecord, make_trial

log = logging.getLogger(__name__)

# Failures one after the other that end a search.
MAX_FAILURES = 10


@dataclass
class Coordinator:
    """Hands out the trials of a search, one at a time to each process that asks.

    Any thread may call its methods. What goes wrong while a trial is chosen makes it a failed one.
    """

    study: optuna.Study
    space: Space
    compose: Compose
    # Writes a trial as an assignment; raises UserError where its config is wrong.
    assign: Callable[[TrialRecord], Assignment]
    # Is told of each trial that has ended, and of those whose runs were finished before or pruned between seeds.
    on_end: Callable[[TrialRecord, bool], None]
    records: list[TrialRecord]
    n_trials: int
    # Whether the pruner judges the epochs of a run, or the seeds of a trial; neither: nothing is pruned.
    judges_epochs: bool
    judges_seeds: bool
    # Time of `time.monotonic` at which no further trial is begun.
    deadline: float = float("inf")
    lock: threading.RLock = field(default_factory=threading.RLock)
    # Trials that were lost or cut off, and are handed out again.
    retries: deque[TrialRecord] = field(default_factory=deque)
    # Trials whose processes were lost since the launcher was started, in that order; how often each was lost.
    lost: list[TrialRecord] = field(default_factory=list)
    losses: Counter[int] = field(default_factory=Counter)
    failures_in_a_row: int = 0
    _handles: dict[int, optuna.Trial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for record in self.records:
            if record.state == "running":
                self.retries.append(record)
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
            return len(self.retries) + max(0, self.n_trials - len(self.records))

    def take(self) -> tuple[TrialRecord, Assignment] | None:
        """Choose the next trial; None: no further one is wanted."""
        with self.lock:
            while self.count_left():
                record = self.retries.popleft() if self.retries else self._begin()
                try:
                    self._choose(record)
                    return record, self.assign(record)
                except (UserError, HydraException) as error:
                    self.end(record, "failed", reason=str(error))
            return None

    def report(self, record: TrialRecord, step: int, value: float) -> str | None:
        """Hear of an objective after an epoch or a seed, from 1; returns why the trial is to end, or None."""
        with self.lock:
            record.reports[step] = value
            handle = self._handles[record.number]
            handle.report(value, step)
            if not handle.should_prune():
                return None
            unit = "epoch" if self.judges_epochs else "seed"
            return f"its objective {value:.6g} at {unit} {step} is behind that of other trials"

    def end(self, record: TrialRecord, state: State, reason: str = "", kept: bool = False) -> None:
        """Hear of a trial's end; `kept`: its state can't be told by its runs."""
        with self.lock:
            record.state, record.reason, record.ended = state, reason, time.time()
            handle = self._handles.pop(record.number)
            if state == "complete":
                self.study.tell(handle, record.objectives)
            else:
                self.study.tell(handle, state=STATES[state])
            self.failures_in_a_row = self.failures_in_a_row + 1 if state == "failed" else 0
            self.on_end(record, kept)

    def lose(self, record: TrialRecord) -> None:
        """Hear that the process of a trial is gone: the trial is tried again, once."""
        with self.lock:
            self.lost.append(record)
            self.losses[record.number] += 1
            if self.losses[record.number] > 1:
                self.end(record, "failed", reason="its process was lost twice")
            else:
                log.warning("the process of trial %d is gone; the trial is tried again", record.number)
                self.retries.append(record)

    def forgive_bystanders(self) -> None:
        """Count only the first loss: when a process of a pool is gone, the pool ends the others, too."""
        with self.lock:
            for record in self.lost[1:]:
                if self.losses[record.number] == 1:
                    self.losses[record.number] = 0
            self.lost.clear()

    def _begin(self) -> TrialRecord:
        record = TrialRecord(max((known.number for known in self.records), default=-1) + 1, {})
        self.records.append(record)
        return record

    def _choose(self, record: TrialRecord) -> None:
        record.replicates, record.run_ids, record.started = [], [], time.time()
        if record.number in self._handles:
            return
        if record.choices:
            self.study.enqueue_trial(dict(record.choices))
        handle = self._handles[record.number] = self.study.ask()
        record.choices = self.space.suggest(handle, self.compose)


class TrialConnection:
    """Answers the process of one trial."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._record: TrialRecord | None = None
        self._kept = False

    def answer(self, request: str, *arguments: Any) -> Any:
        """Answer a request of `worker`: next, run, epoch, result, complete, pruned or failed."""
        if request == "next":
            taken = self._coordinator.take()
            if taken is None:
                return None
            self._record, assignment = taken
            return assignment
        assert self._record is not None
        return getattr(self, f"_hear_{request}")(self._record, *arguments)

    def lose(self) -> None:
        """Hear that the connection has ended, which is all right after the trial's end."""
        if self._record is not None:
            self._coordinator.lose(self._record)

    def _hear_run(self, record: TrialRecord, run_id: str, was_finished: bool) -> None:
        record.run_ids.append(run_id)
        self._kept |= was_finished

    def _hear_epoch(self, record: TrialRecord, epoch: int, value: float | None) -> str | None:
        if value is None or not self._coordinator.judges_epochs:
            return None
        return self._coordinator.report(record, epoch, value)

    def _hear_result(self, record: TrialRecord, number: int, objectives: list[float], is_last: bool) -> str | None:
        record.replicates.append(objectives)
        if not self._coordinator.judges_seeds:
            return None
        reason = None if is_last else self._coordinator.report(record, number, objectives[0])
        self._kept |= reason is not None
        return reason

    def _hear_complete(self, record: TrialRecord) -> None:
        self._end(record, "complete")

    def _hear_pruned(self, record: TrialRecord, reason: str) -> None:
        self._end(record, "pruned", reason)

    def _hear_failed(self, record: TrialRecord, reason: str) -> None:
        self._end(record, "failed", reason)

    def _end(self, record: TrialRecord, state: State, reason: str = "") -> None:
        self._record = None
        self._coordinator.end(record, state, reason, self._kept)
