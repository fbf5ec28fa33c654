"""A search as the tracking server remembers it: what its parent run says of it, and what its runs are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution

from mnist_flow import tracking
from mnist_flow.errors import TrackingError
from mnist_flow.sweeps.search.study import TrialRecord, rebuild_trials

# Artifact of the parent run, see `write_terms`.
TERMS_PATH = "sweep/search.json"


@dataclass(frozen=True)
class Terms:
    """What a search looks for, and where."""

    # By override key, as `space.Space` has them.
    dimensions: Mapping[str, BaseDistribution]
    objectives: tuple[str, ...]
    # Number of seeds of a trial.
    replicates: int


def write_terms(terms: Terms) -> str:
    """Write the terms of a search as JSON, with each distribution as Optuna writes it."""
    space = {key: json.loads(distribution_to_json(one)) for key, one in terms.dimensions.items()}
    return json.dumps({"objectives": terms.objectives, "replicates": terms.replicates, "space": space}, indent=2)


def fetch_terms(run_id: str) -> Terms:
    """The terms of a search, from its parent run.

    Raises:
        TrackingError: the server does not answer, or the run is no search.
    """
    try:
        plain = json.loads(tracking.fetch_text(run_id, TERMS_PATH))
    except TrackingError as error:
        raise TrackingError(f"{error}; only the parent run of a search has it") from error
    space = {key: json_to_distribution(json.dumps(one)) for key, one in plain["space"].items()}
    return Terms(space, tuple(plain["objectives"]), plain["replicates"])


def fetch_trials(
    experiment_ids: str | Sequence[str],
    run_id: str,
    terms: Terms,
    *,
    with_curves: bool,
) -> list[TrialRecord]:
    """The trials of a search, in the order of their numbers.

    Args:
        experiment_ids: where its runs are.
        run_id: of its parent.
        terms: of the search.
        with_curves: fetch what was reported of finished runs after each epoch, too; else only of pruned ones.

    Raises:
        TrackingError: the server does not answer.
    """
    runs = tracking.fetch_trial_runs(experiment_ids, run_id)
    adopted = tracking.fetch_adopted_trials(run_id)
    wanted = [run.run_id for run in runs if with_curves or run.state == "pruned"]
    curves = _fetch_curves(wanted + (_list_runs(adopted) if with_curves else []), terms)
    return rebuild_trials(runs, adopted, curves, terms.objectives, terms.replicates)


def recall_trials(adopted: Mapping[int, Mapping[str, Any]], terms: Terms, *, with_curves: bool) -> list[TrialRecord]:
    """The trials that a parent run remembers because their runs are another sweep's; see `fetch_trials`.

    Args:
        adopted: what it remembers of each, by number.
        terms: of the search.
        with_curves: fetch what was reported after each epoch, too.

    Raises:
        TrackingError: the server does not answer.
    """
    curves = _fetch_curves(_list_runs(adopted) if with_curves else [], terms)
    return rebuild_trials([], adopted, curves, terms.objectives, terms.replicates)


def _list_runs(adopted: Mapping[int, Mapping[str, Any]]) -> list[str]:
    return [run_id for kept in adopted.values() for run_id in kept["run_ids"]]


def _fetch_curves(run_ids: Sequence[str], terms: Terms) -> dict[str, dict[int, float]]:
    # No pruner takes several objectives.
    points = tracking.fetch_histories(run_ids, terms.objectives[:1])
    # Step 0 is the final value.
    return {
        str(one): dict(zip(curve["step"].astype(int), curve["value"].astype(float), strict=True))
        for one, curve in points[points["step"] > 0].groupby("run_id")
    }
