"""What a search leaves behind: the tables of its parent run, and the best config as a preset."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial, TrialState

from mnist_flow.sweeps.search.space import Space
from mnist_flow.sweeps.search.study import Direction, TrialRecord, calm_optuna

# Overrides that say where and how something runs, not what: they are no part of a preset.
_INCIDENTAL = ("tracking.", "data.path", "resume", "plan", "hydra", "experiment")


def build_trials(records: Sequence[TrialRecord], keys: Iterable[str], objective: str) -> pd.DataFrame:
    """Build a table with one row per trial.

    Returns:
        trial (from 0); a column for each key of the space, None where the trial did not have it; state (running,
        complete, pruned, failed); the objective, the mean over its replicates, of pruned trials the last value that was
        reported; n replicates; last_step, the epoch or replicate of that value; seconds; run_ids with blanks between;
        reason.
    """
    rows = [
        {
            "trial": record.number,
            **{key: record.choices.get(key) for key in keys},
            "state": record.state,
            objective: record.value,
            "n": len(record.values),
            "last_step": max(record.reports, default=None),
            "seconds": _measure_seconds(record),
            "run_ids": " ".join(record.run_ids),
            "reason": record.reason,
        }
        for record in records
    ]
    return pd.DataFrame(rows)


def _measure_seconds(record: TrialRecord) -> float | None:
    if record.state == "running" or record.started is None or record.ended is None:
        return None
    return round(record.ended - record.started, 2)


def build_space_table(space: Space) -> pd.DataFrame:
    """Build a table with one row per key of the space and its distribution, in Optuna's words."""
    return pd.DataFrame(list(space.describe().items()), columns=["key", "distribution"])


def build_importances(trials: Sequence[FrozenTrial], direction: Direction, n_resamples: int = 0) -> pd.DataFrame | None:
    """Build a table of how much each key decides on the objective, by Optuna's default evaluator, largest first.

    That is PED-ANOVA: how the values of a key that the best tenth of the trials have differ from those of all trials.

    Args:
        trials: of which the complete ones count.
        direction: minimize or maximize.
        n_resamples: number of bootstrap resamples of the trials, by which the intervals are measured; 0: no intervals.

    Returns:
        Columns key and importance (0 to 1, their sum is 1), and with resamples ci_low and ci_high (95 %, percentiles);
        None where the trials are too few or too alike to tell.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    calm_optuna()
    importances = _compute_importances(complete, direction)
    if importances is None:
        return None
    table = pd.DataFrame(list(importances.items()), columns=["key", "importance"])
    if not n_resamples:
        return table
    rng = np.random.default_rng(0)
    drawn = [
        _compute_importances([complete[index] for index in rng.integers(len(complete), size=len(complete))], direction)
        for _ in range(n_resamples)
    ]
    resampled = pd.DataFrame([one for one in drawn if one is not None], columns=table["key"]).fillna(0.0)
    low, high = resampled.quantile(0.025), resampled.quantile(0.975)
    return table.assign(ci_low=table["key"].map(low), ci_high=table["key"].map(high))


def _compute_importances(complete: Sequence[FrozenTrial], direction: Direction) -> Mapping[str, float] | None:
    """Importances by key, the largest first; None where the trials are too few or too alike to tell."""
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return None
    study = optuna.create_study(direction=direction)
    study.add_trials(complete)
    try:
        with warnings.catch_warnings():
            # Of keys that few trials have.
            warnings.simplefilter("ignore")
            return optuna.importance.get_param_importances(study)
    except (RuntimeError, ValueError):
        # Optuna has no answer where no key is part of all complete trials.
        return None


def choose_best(records: Sequence[TrialRecord], direction: str, n: int = 1) -> list[TrialRecord]:
    """Choose the best complete trials, the best first; of equal ones the first."""
    sign = 1 if direction == "minimize" else -1
    complete = [record for record in records if record.state == "complete" and record.value is not None]
    return sorted(complete, key=lambda record: (sign * (record.value or 0.0), record.number))[:n]


def write_preset(space: Space, choices: Mapping[str, Any], comment: str) -> str:
    """Write a trial's config as a preset for conf/experiment/: what was typed, and what was chosen.

    Args:
        space: with the overrides that all trials have.
        choices: of the trial.
        comment: a line for the top of the file.
    """
    parser = OverridesParser.create()
    defaults: list[Any] = []
    values = OmegaConf.create()
    chosen_groups = {text.partition("=")[0] for text in space.options} | space.groups
    for override in parser.parse_overrides(space.list_overrides(choices)):
        key = override.get_key_element()
        if override.is_delete() or key.lstrip("+").startswith(_INCIDENTAL):
            continue
        if key in chosen_groups:
            defaults.append({f"override /{key.lstrip('+')}": override.value()})
        elif key != "replicates":
            OmegaConf.update(values, key.lstrip("+"), override.value(), force_add=True)
    preset = OmegaConf.create({"defaults": [*defaults, "_self_"]})
    return f"# @package _global_\n# {comment}\n{OmegaConf.to_yaml(preset)}{OmegaConf.to_yaml(values) if values else ''}"
