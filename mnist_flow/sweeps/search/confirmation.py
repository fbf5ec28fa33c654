"""The best trials again, with fresh seeds: the best of many is partly the luckiest."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mnist_flow.config.train import is_minimised
from mnist_flow.sweeps.search.messages import Assignment
from mnist_flow.sweeps.search.study import TrialRecord


@dataclass
class _Confirmed:
    trial: TrialRecord
    objectives: list[float] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    losses: int = 0
    reason: str = ""


@dataclass
class Confirmation:
    """Hands out the best trials once more, and compares what came out."""

    # Writes a trial as the assignment of its fresh seeds.
    assign: Callable[[TrialRecord], Assignment]
    objective: str
    lock: threading.RLock = field(default_factory=threading.RLock)
    lost: list[Any] = field(default_factory=list)
    _todo: deque[_Confirmed] = field(default_factory=deque)
    _all: list[_Confirmed] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether processes that ask get confirmations instead of trials."""
        return bool(self._all)

    def prepare(self, best: Sequence[TrialRecord]) -> Confirmation:
        """Make these trials the ones to be trained again."""
        self._all = [_Confirmed(record) for record in best]
        self._todo = deque(self._all)
        return self

    def count_left(self) -> int:
        """Number of trials that are still to be handed out."""
        with self.lock:
            return len(self._todo)

    def forgive_bystanders(self) -> None:
        """Count only the first loss of a launch; see `Coordinator`."""
        with self.lock:
            for confirmed in self.lost[1:]:
                confirmed.losses -= 1
            self.lost.clear()

    def take(self) -> _Confirmed | None:
        """The next trial to confirm."""
        with self.lock:
            return self._todo.popleft() if self._todo else None

    def give_back(self, confirmed: _Confirmed) -> None:
        """Hear that the process of a confirmation is gone: it is tried again, once."""
        with self.lock:
            self.lost.append(confirmed)
            confirmed.losses += 1
            if confirmed.losses < 2:
                self._todo.append(confirmed)
            else:
                confirmed.reason = "its process was lost twice"

    def choose(self) -> TrialRecord | None:
        """The trial with the best mean over its fresh seeds; None: none of them was completed."""
        done = [one for one in self._all if one.objectives and not one.reason]
        if not done:
            return None
        sign = 1 if is_minimised(self.objective) else -1
        return min(done, key=lambda one: (sign * float(np.mean(one.objectives)), one.trial.number)).trial

    def list_run_ids(self, trial: TrialRecord) -> list[str]:
        """The runs that confirm a trial."""
        return [run_id for one in self._all if one.trial is trial for run_id in one.run_ids]

    def build_table(self) -> pd.DataFrame:
        """Build a table with one row per confirmed trial.

        Returns:
            trial; the objective in the search; n fresh seeds; mean and sample standard deviation (ddof = 1) of
            the objective over them; run_ids with blanks between; reason where it failed.
        """
        rows = [
            {
                "trial": one.trial.number,
                f"{self.objective}_in_search": one.trial.objectives[0] if one.trial.objectives else None,
                "n": len(one.objectives),
                f"{self.objective}_mean": float(np.mean(one.objectives)) if one.objectives else None,
                f"{self.objective}_std": float(np.std(one.objectives, ddof=1)) if len(one.objectives) > 1 else None,
                "run_ids": " ".join(one.run_ids),
                "reason": one.reason,
            }
            for one in self._all
        ]
        return pd.DataFrame(rows)


class ConfirmationConnection:
    """Answers the process of one confirmation."""

    def __init__(self, confirmation: Confirmation) -> None:
        self._confirmation = confirmation
        self._confirmed: _Confirmed | None = None

    def answer(self, request: str, *arguments: Any) -> Any:
        """Answer a request of `worker`; a confirmation is never pruned."""
        if request == "next":
            self._confirmed = self._confirmation.take()
            if self._confirmed is None:
                return None
            self._confirmed.objectives, self._confirmed.run_ids = [], []
            return self._confirmation.assign(self._confirmed.trial)
        assert self._confirmed is not None
        if request == "run":
            self._confirmed.run_ids.append(arguments[0])
        elif request == "result":
            self._confirmed.objectives += arguments[1]
        elif request in ("complete", "failed"):
            self._confirmed.reason = arguments[0] if request == "failed" else ""
            self._confirmed = None
        return None

    def lose(self) -> None:
        """Hear that the connection has ended, which is all right after the end."""
        if self._confirmed is not None:
            self._confirmation.give_back(self._confirmed)
