"""What the server knows of a search: the runs of its trials."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import mlflow

from mnist_flow.tracking import names
from mnist_flow.tracking.past import search
from mnist_flow.tracking.server import clear_errors


@dataclass(frozen=True)
class PastTrialRun:
    """A run of a trial: one seed of what a search has chosen."""

    run_id: str
    trial: int
    # What was chosen, by the keys of the search's space.
    choices: Mapping[str, Any]
    # open: it goes on, or was killed, or its process is gone.
    state: Literal["finished", "pruned", "failed", "open"]
    seed: int
    metrics: Mapping[str, float]
    # Unix time in seconds; one that has not ended ends with its start.
    started: float
    ended: float
    # Why it was pruned; empty: it was not.
    pruned_because: str = ""


def find_last_search(experiment_ids: Sequence[str]) -> str | None:
    """The parent run of the search whose trial was begun last in some experiments; None: there is no search.

    Raises:
        TrackingError: the server does not answer.
    """
    trials = f"tags.`{names.TRIAL_TAG}` LIKE '%' and tags.`{names.PARENT_TAG}` LIKE '%'"
    found = search(experiment_ids, trials, ["attributes.start_time DESC"], at_most=1)
    return found[0].data.tags[names.PARENT_TAG] if found else None


def count_pruned(experiment_ids: Sequence[str]) -> int:
    """The number of runs of some experiments that searches have ended early.

    Raises:
        TrackingError: the server does not answer.
    """
    return len(search(experiment_ids, f"tags.`{names.PRUNED_TAG}` LIKE '%'"))


def fetch_trial_runs(experiment_ids: str | Sequence[str], parent_run_id: str) -> list[PastTrialRun]:
    """The runs of a search's trials, oldest first, without those that confirm the best.

    Raises:
        TrackingError: the server does not answer.
    """
    found = search(
        experiment_ids,
        f"tags.`{names.PARENT_TAG}` = '{parent_run_id}' and tags.`{names.TRIAL_TAG}` LIKE '%'",
        ["attributes.start_time ASC"],
    )
    runs = []
    for run in found:
        tags, info = run.data.tags, run.info
        if names.CONFIRMS_TAG in tags:
            continue
        state: Literal["finished", "pruned", "failed", "open"] = "open"
        if info.status != "RUNNING" and names.PRUNED_TAG in tags:
            state = "pruned"
        elif info.status in ("FINISHED", "FAILED"):
            state = "finished" if info.status == "FINISHED" else "failed"
        runs.append(
            PastTrialRun(
                info.run_id,
                int(tags[names.TRIAL_TAG]),
                json.loads(tags[names.CHOICES_TAG]),
                state,
                int(run.data.params.get("seed", 0)),
                run.data.metrics,
                info.start_time / 1000,
                (info.end_time or info.start_time) / 1000,
                tags.get(names.PRUNED_BECAUSE_TAG, ""),
            )
        )
    return runs


def fetch_adopted_trials(parent_run_id: str) -> dict[int, dict[str, Any]]:
    """By number, what a search's parent run remembers of trials whose runs were finished before.

    Raises:
        TrackingError: the server does not answer.
    """
    prefix = f"{names.TRIAL_TAG}."
    with clear_errors():
        tags = mlflow.MlflowClient().get_run(parent_run_id).data.tags
    return {int(tag.removeprefix(prefix)): json.loads(text) for tag, text in tags.items() if tag.startswith(prefix)}
