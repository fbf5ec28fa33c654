"""A search as the tracking server remembers it: what its parent run says of it, and what its runs are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution

from mnist_flow import tracking
from mnist_flow.errors import TrackingError
from mnist_flow.jobs.tables import read_results
from mnist_flow.sweeps.search.study import TrialRecord
from mnist_flow.tracking import PastTrialRun

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
        TrackingError: the server does not answer, or the run is no search, or its terms are damaged.
    """
    try:
        text = tracking.fetch_text(run_id, TERMS_PATH)
    except TrackingError as error:
        raise TrackingError(f"{error}; only the parent run of a search has it") from error
    try:
        plain = json.loads(text)
        space = {key: json_to_distribution(json.dumps(one)) for key, one in plain["space"].items()}
        return Terms(space, tuple(plain["objectives"]), plain["replicates"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "write it anew with the command of the search, which goes on where it is"
        raise TrackingError(f"run_id={run_id}: its artifact {TERMS_PATH} is damaged; {remedy}") from error


def fetch_trials(
    experiment_ids: str | Sequence[str], run_id: str, terms: Terms, *, with_curves: bool
) -> list[TrialRecord]:
    """Rebuild the trials of a search from what the tracking server has, in the order of their numbers.

    Args:
        experiment_ids: where its runs are.
        run_id: of its parent.
        terms: of the search.
        with_curves: fetch what was reported of finished runs after each epoch, too; else only of pruned ones.

    Raises:
        TrackingError: the server does not answer.
    """
    by_number: dict[int, dict[int, PastTrialRun]] = {}
    for run in tracking.fetch_trial_runs(experiment_ids, run_id):
        # The last run of each seed counts, unless an earlier one is finished.
        seeds = by_number.setdefault(run.trial, {})
        if run.seed not in seeds or seeds[run.seed].state != "finished":
            seeds[run.seed] = run
    found = {number: _rebuild(number, seeds, terms) for number, seeds in by_number.items()}
    for number, plain in tracking.fetch_adopted_trials(run_id).items():
        own, found[number] = found.get(number), _read_kept(number, plain)
        if own is not None:
            found[number].started, found[number].ended = own.started, own.ended
    records = [found[number] for number in sorted(found)]
    add_reports(records, terms, with_curves=with_curves)
    return records


def _rebuild(number: int, seeds: Mapping[int, PastTrialRun], terms: Terms) -> TrialRecord:
    """Rebuild a trial from a run of each seed; it is `running` where one was cut off, still runs or is missing."""
    ordered = [seeds[seed] for seed in sorted(seeds)]
    record = TrialRecord(
        number,
        ordered[0].choices,
        run_ids=[run.run_id for run in ordered],
        started=min(run.started for run in ordered),
        ended=max(run.ended for run in ordered),
        replicates=[
            [read_results(run.metrics)[objective] for objective in terms.objectives]
            for run in ordered
            if run.state == "finished"
        ],
    )
    states = {run.state for run in ordered}
    if "failed" in states:
        record.state, record.reason = "failed", "failed before"
    elif "pruned" in states:
        record.state, record.reason = "pruned", ordered[-1].pruned_because
    elif states == {"finished"} and len(ordered) == terms.replicates:
        record.state = "complete"
    return record


def add_reports(records: Sequence[TrialRecord], terms: Terms, *, with_curves: bool) -> None:
    """Add what was reported of trials to the pruner; see `fetch_trials`.

    Raises:
        TrackingError: the server does not answer.
    """
    if terms.replicates > 1:
        for record in records:
            record.reports = {number: values[0] for number, values in enumerate(record.replicates, start=1)}
        return
    wanted = [record.run_ids[-1] for record in records if with_curves or record.state == "pruned"]
    # No pruner takes several objectives.
    points = tracking.fetch_histories(wanted, terms.objectives[:1])
    # Step 0 is the final value.
    curves = {
        str(one): dict(zip(curve["step"].astype(int), curve["value"].astype(float), strict=True))
        for one, curve in points[points["step"] > 0].groupby("run_id")
    }
    for record in records:
        record.reports = curves.get(record.run_ids[-1], {})


def write_kept(records: Sequence[TrialRecord]) -> dict[str, str]:
    """Write trials that can't be told by their runs as tags of the parent run, by which it remembers them."""
    return {
        f"{tracking.TRIAL_TAG}.{record.number}": json.dumps(
            {
                "state": record.state,
                "choices": dict(record.choices),
                "values": record.replicates,
                "run_ids": record.run_ids,
                "reason": record.reason,
                "included": record.included,
            }
        )
        for record in records
    }


def _read_kept(number: int, plain: Mapping[str, Any]) -> TrialRecord:
    """Read a trial that the parent run remembers."""
    # Of one objective, stores have one number a replicate, too.
    replicates = [value if isinstance(value, list) else [value] for value in plain["values"]]
    record = TrialRecord(number, plain["choices"], plain["state"], replicates, plain["run_ids"], kept=True)
    record.reason, record.included = plain.get("reason", ""), plain.get("included", False)
    return record
