"""A search as tables: its trials with the best so far, its learning curves, and how much each key decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnist_flow import tracking
from mnist_flow.analysis.dimensions import Dimension
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.config.overrides import type_override
from mnist_flow.errors import TrackingError
from mnist_flow.sweeps.search.importances import build_importances
from mnist_flow.sweeps.search.memory import Terms, fetch_terms, fetch_trials
from mnist_flow.sweeps.search.outcome import build_trials, choose_best
from mnist_flow.sweeps.search.study import make_trial

# Resamples of the trials behind the intervals of importances.
_N_RESAMPLES = 50


@dataclass(frozen=True)
class SearchTables:
    """A search as tidy tables."""

    # Of the parent run.
    run_id: str
    terms: Terms
    dimensions: list[Dimension]
    # One row a trial, see `sweeps.search.outcome.build_trials`, with the column minutes: the time in which trials ran
    # until its end, pauses between two calls left out; NaN where its runs were finished before. With several objectives
    # on_front: whether it is on their Pareto front.
    trials: pd.DataFrame
    # One row a run and epoch: run_id, trial, state, metric, epoch, value; empty where no run has epochs.
    curves: pd.DataFrame
    # From `build_importances`, with intervals; empty where the trials are too few.
    importances: pd.DataFrame


def fetch_search(runs: StudyRuns, run_id: str | None) -> SearchTables:
    """Ask the tracking server for a search.

    Args:
        runs: of the experiments in which it is.
        run_id: of its parent run; None: the search whose trial was begun last.

    Raises:
        TrackingError: the server does not answer, there is no such search, or none of its trials was completed.
    """
    experiment_ids = sorted(set(runs.table["experiment_id"]))
    parent = run_id or tracking.find_last_search(experiment_ids)
    if parent is None:
        names = runs.table["experiment"].unique()
        raise TrackingError(
            f"study=search: no run of {' '.join(names)} belongs to a search; make one: python -m mnist_flow.train -m "
            "hydra/sweeper=optuna 'optimizer.learning_rate=tag(log,interval(0.001,1))' "
            f"{type_override('tracking.experiment_name', names[0])}"
        )
    terms = fetch_terms(parent)
    records = fetch_trials(experiment_ids, parent, terms, with_curves=True)
    trials = build_trials(records, terms.dimensions, terms.objectives)
    if not (trials["state"] == "complete").any():
        raise TrackingError(f"study=search: none of the {len(trials)} trials of run {parent} was completed so far")
    if len(terms.objectives) > 1:
        front = {record.number for record in choose_best(records, terms.objectives)}
        trials["on_front"] = trials["trial"].isin(front)
    spans = ([getattr(record, name) for record in records] for name in ("started", "ended"))
    trials["minutes"] = leave_out_pauses(*spans) / 60
    dimensions = [Dimension.read(key, one) for key, one in terms.dimensions.items()]
    ended = [make_trial(terms.dimensions, record) for record in records if record.state != "running"]
    importances = build_importances(ended, terms.objectives, _N_RESAMPLES)
    return SearchTables(parent, terms, dimensions, trials, _fetch_curves(trials, terms), importances)


def _fetch_curves(trials: pd.DataFrame, terms: Terms) -> pd.DataFrame:
    """The curves of the first objective that has any, else of the validation loss."""
    runs = trials[["run_ids", "trial", "state"]].assign(run_id=trials["run_ids"].str.split()).explode("run_id")
    run_ids = list(runs["run_id"].dropna())
    for metric in (*terms.objectives, "val_loss"):
        points = tracking.fetch_histories(run_ids, [metric])
        # Step 0 is the final value.
        points = points[points["step"] > 0].rename(columns={"step": "epoch"})
        if len(points):
            break
    return runs.drop(columns="run_ids").merge(points, on="run_id")


def leave_out_pauses(started: Sequence[float | None], ended: Sequence[float | None]) -> np.ndarray:
    """How long trials ran until each of them ended, without the time in which none did.

    Args:
        started: when each began, in seconds from anywhere; None: unknown.
        ended: when each ended.

    Returns:
        Seconds, NaN where a time is unknown.
    """
    spans = np.array([started, ended], dtype=float)
    known = ~np.isnan(spans).any(axis=0)
    begins, ends = spans[:, known]
    order = np.argsort(begins, kind="stable")
    begins, latest = begins[order], np.maximum.accumulate(ends[order])
    # Before each trial, in the order in which they began.
    pauses = np.maximum(0.0, begins - np.concatenate([begins[:1], latest[:-1]]))
    seconds = np.full(len(known), np.nan)
    seconds[known] = [end - begins[0] - pauses[begins <= end].sum() for end in ends]
    return seconds
