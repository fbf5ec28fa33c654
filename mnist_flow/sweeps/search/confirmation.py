"""The best trials again, with fresh seeds: the best of many is partly the luckiest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnist_flow.sweeps.search.coordinator import TrialQueue
from mnist_flow.sweeps.search.outcome import choose_best
from mnist_flow.sweeps.search.study import TrialRecord


@dataclass(kw_only=True)
class Confirmation(TrialQueue):
    """Hands out the best trials once more, and compares what came out."""

    objective: str
    # The trials as the search left them; `records` are the same with fresh seeds, in the same order.
    best: Sequence[TrialRecord] = ()

    @property
    def is_open(self) -> bool:
        """Whether processes that ask get confirmations instead of trials."""
        return bool(self.records)

    def prepare(self, best: Sequence[TrialRecord]) -> Confirmation:
        """Make these trials the ones to be trained again."""
        self.best = best
        self.records = [TrialRecord(record.number, record.choices) for record in best]
        self.waiting.extend(self.records)
        return self

    def choose(self) -> TrialRecord | None:
        """The trial with the best mean over its fresh seeds; None: none of them was completed."""
        chosen = choose_best(self.records, [self.objective])
        return self.best[self.records.index(chosen[0])] if chosen else None

    def list_run_ids(self, trial: TrialRecord) -> list[str]:
        """The runs that confirm a trial."""
        return [run_id for record in self.records if record.number == trial.number for run_id in record.run_ids]

    def build_table(self) -> pd.DataFrame:
        """Build a table with one row per confirmed trial.

        Returns:
            trial; the objective in the search; n fresh seeds; mean and sample standard deviation (ddof = 1) of
            the objective over them; run_ids with blanks between; reason where it failed.
        """
        rows = []
        for before, record in zip(self.best, self.records, strict=True):
            values = [value for (value,) in record.replicates]
            rows.append(
                {
                    "trial": record.number,
                    f"{self.objective}_in_search": before.objectives[0] if before.objectives else None,
                    "n": len(values),
                    f"{self.objective}_mean": float(np.mean(values)) if values else None,
                    f"{self.objective}_std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                    "run_ids": " ".join(record.run_ids),
                    "reason": record.reason,
                }
            )
        return pd.DataFrame(rows)
