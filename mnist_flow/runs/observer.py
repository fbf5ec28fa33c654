"""Who started a run may watch it: a search follows its trials so, and ends those that are hopeless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class RunObserver:
    """Is told of the runs of one config while they are made; an observer overrides what it wants to hear."""

    @property
    def tags(self) -> dict[str, str]:
        """Further tags of the runs in MLflow."""
        return {}

    def on_found(self, run_id: str) -> None:
        """Hear that a run is finished already, and is not made again."""

    def on_start(self, run_id: str) -> None:
        """Hear that a run has begun."""

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Hear of an epoch, which counts from 1, and its metrics.

        Raises:
            PrunedError: the run is to end here.
        """

    def on_result(self, number: int, objectives: Sequence[float], is_last: bool) -> None:
        """Hear of a run's objectives; the replicates of a config count from 1, and the last of them is told.

        Raises:
            PrunedError: no further replicate is to be made.
        """
