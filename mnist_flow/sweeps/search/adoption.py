"""Finished runs of other sweeps as trials of a search: `hydra.sweeper.include_finished`."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FixedTrial

from mnist_flow import tracking
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import UserError
from mnist_flow.jobs.composition import Composer, list_replicates
from mnist_flow.jobs.lookup import match
from mnist_flow.jobs.tables import read_results
from mnist_flow.sweeps.search.memory import Terms
from mnist_flow.sweeps.search.space import Space
from mnist_flow.sweeps.search.study import TrialRecord
from mnist_flow.tracking import PastRun


def find_finished(
    experiment_id: str, base: TrainConfig, space: Space, composer: Composer, terms: Terms, known: Sequence[TrialRecord]
) -> list[TrialRecord]:
    """Find what a search would have trained, had it chosen it, among the finished runs of an experiment.

    That is, runs that have the fingerprint of a config of the space; all replicates of it, if there are several.

    Args:
        experiment_id: where to look.
        base: the config of any trial.
        composer: makes configs from overrides.
        terms: of the search.
        known: trials that the search has already; their runs are left out.

    Returns:
        The trial that each of them becomes, without what was reported of it.

    Raises:
        TrackingError: the server does not answer.
    """
    own = {run_id for record in known for run_id in record.run_ids}
    past = tracking.fetch_past_runs(
        experiment_id, params={"data.name": base.data.name}, stale_after=base.tracking.stale_after
    )
    past = [run for run in past if run.state == "finished" and run.run_id not in own]
    candidates = {
        json.dumps(choices, sort_keys=True): choices
        for run in past
        if (choices := _read_choices(run.params, space, composer)) is not None
    }
    first = max((record.number for record in known), default=-1) + 1
    found: list[TrialRecord] = []
    for choices in candidates.values():
        runs = _find_runs(space.list_overrides(choices), composer, past)
        results = [read_results(run.metrics) for run in runs]
        if runs and all(objective in result for result in results for objective in terms.objectives):
            values = [[result[objective] for objective in terms.objectives] for result in results]
            number, run_ids = first + len(found), [run.run_id for run in runs]
            found.append(TrialRecord(number, choices, "complete", values, run_ids, included=True, kept=True))
    return found


def _find_runs(overrides: list[str], composer: Composer, past: Sequence[PastRun]) -> list[PastRun]:
    """Find the finished runs of a config, one a replicate; none where one is missing, or no such config can be."""
    try:
        jobs = list_replicates(overrides, validate_config(composer.compose(overrides), TrainConfig))
    except (UserError, HydraException):
        return []
    runs = [one.run for one in match(past, jobs) if one.run is not None]
    return runs if len(runs) == len(jobs) else []


def _read_choices(params: Mapping[str, str], space: Space, composer: Composer) -> dict[str, Any] | None:
    """Read from a run's params what a search would have chosen for it; None: the space has no such trial."""
    values: dict[str, Any] = {}
    for key, distribution in space.dimensions.items():
        text = params.get(key.lstrip("+") + (".name" if key in space.groups else ""))
        if text is not None and (value := _read_value(key, distribution, text)) is not None:
            values[key] = value
    with warnings.catch_warnings():
        # Optuna tells so that a value is out of its range.
        warnings.filterwarnings("error", message="The value .* of the parameter", category=UserWarning)
        try:
            return space.suggest(FixedTrial(values), composer.compose)
        except (ValueError, UserWarning, HydraException):
            return None


def _read_value(key: str, distribution: BaseDistribution, text: str) -> Any:
    """Read the text of a param as a value of a distribution; None where it can't be one."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if isinstance(distribution, CategoricalDistribution):
        parser = OverridesParser.create()
        return next(
            (one for one in distribution.choices if parser.parse_override(f"{key}={one}").value() in (value, text)),
            None,
        )
    return value if isinstance(value, int | float) else None
