"""What a search would do, for `plan=true`: its space, what is done, and how long the rest will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from omegaconf import DictConfig

from mnist_flow import tracking
from mnist_flow.config.overrides import quote_argument
from mnist_flow.jobs.composition import Composer, Job
from mnist_flow.jobs.lookup import fetch_examples
from mnist_flow.jobs.plan import estimate_seconds
from mnist_flow.jobs.workers import count_workers
from mnist_flow.runtime.terminal import count, print_line, print_time
from mnist_flow.sweeps.search.adoption import find_finished
from mnist_flow.sweeps.search.memory import Terms, fetch_trials
from mnist_flow.sweeps.search.outcome import measure_seconds
from mnist_flow.sweeps.search.settings import SearchSettings
from mnist_flow.sweeps.search.space import Space
from mnist_flow.sweeps.search.study import TrialRecord


def show_plan(
    config: DictConfig,
    space: Space,
    composer: Composer,
    terms: Terms,
    jobs: Sequence[Job],
    fingerprint: str,
    settings: SearchSettings,
) -> None:
    """Print what a search would do; change nothing.

    Args:
        config: Hydra's, of the command.
        composer: makes configs from overrides.
        terms: of the search.
        jobs: of a trial, one a replicate.
        fingerprint: of the search.

    Raises:
        TrackingError: the server does not answer.
    """
    base = jobs[0].config
    tracking.configure(base.tracking.uri, base.tracking.experiment_name, writes=False)
    experiment_id = tracking.find_experiment(base.tracking.experiment_name)
    records: list[TrialRecord] = []
    if experiment_id is not None and base.resume:
        known = tracking.find_sweep(experiment_id, fingerprint, base.tracking.stale_after)
        if known is not None:
            records = fetch_trials(experiment_id, known.run_id, terms, with_curves=False)
    print_line("the space:")
    for override in space.typed:
        print_line(f"  {quote_argument(override)}")
    if settings.include_finished:
        found = [] if experiment_id is None else find_finished(experiment_id, base, space, composer, terms, records)
        print_included(records, len(found))
        records += found
    n_trials = settings.n_trials + sum(record.included for record in records)
    print_counts(records, n_trials)
    n_left = max(n_trials, len(records)) - sum(record.state != "running" for record in records)
    if n_left:
        print_time(*_estimate(records, jobs, experiment_id, n_left), n_left, count_workers(config, n_left))


def print_included(known: Sequence[TrialRecord], n_new: int) -> None:
    """Print how many finished runs of other sweeps are trials of a search: of those known already, and new ones."""
    n_before = sum(record.included for record in known)
    print_line(f"finished configs of this space included: {n_before + n_new} ({n_new} new)")


def print_counts(records: Sequence[TrialRecord], n_trials: int) -> None:
    """Print how many trials there will be, and how many of them are known already."""
    counts = Counter(record.state for record in records)
    new = max(0, n_trials - len(records))
    resumed = f"{counts['running']} resumed"
    known = ", ".join(f"{counts[state]} {state}" for state in ("complete", "pruned", "failed"))
    print_line(f"{count(max(n_trials, len(records)), 'trial')}: {known}, {resumed}, {new} new")


def _estimate(
    records: Sequence[TrialRecord], jobs: Sequence[Job], experiment_id: str | None, n_left: int
) -> tuple[float | None, str]:
    """The computing time of so many trials in seconds, None if unknown, and what it was told by."""
    own = [seconds for record in records if (seconds := measure_seconds(record)) is not None]
    if own:
        # Pruned ones among them, as there will be among the others.
        return float(np.mean(own)) * n_left, "the trials that have ended"
    past = [] if experiment_id is None else fetch_examples(jobs, experiment_id)
    seconds = estimate_seconds(jobs, past)
    return None if seconds is None else seconds * n_left, "the finished runs of these models"
