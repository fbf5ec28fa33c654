"""What a search leaves behind: the tables of its parent run, and the best config as a preset."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mnist_flow.sweeps.search.space import Space
from mnist_flow.sweeps.search.study import TrialRecord

# Overrides that say where and how something runs, not what: they are no part of a preset.
_INCIDENTAL = ("tracking.", "data.path", "resume", "plan", "hydra", "experiment")


def build_trials(records: Sequence[TrialRecord], space: Space, objective: str) -> pd.DataFrame:
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
            **{key: record.choices.get(key) for key in space.dimensions},
            "state": record.state,
            objective: record.value,
            "n": len(record.values),
            "last_step": max(record.reports, default=None),
            "seconds": round(record.seconds, 2) if record.state != "running" else None,
            "run_ids": " ".join(record.run_ids),
            "reason": record.reason,
        }
        for record in records
    ]
    return pd.DataFrame(rows)


def build_space_table(space: Space) -> pd.DataFrame:
    """Build a table with one row per key of the space and its distribution, in Optuna's words."""
    return pd.DataFrame(list(space.describe().items()), columns=["key", "distribution"])


def build_importances(study: optuna.Study) -> pd.DataFrame | None:
    """Build a table of each key's share in the variance of the objective (Optuna's default evaluator), largest first.

    Returns:
        Columns key and importance (0 to 1, their sum is 1); None where the trials are too few or too alike to tell.
    """
    complete = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return None
    try:
        with warnings.catch_warnings():
            # Of keys that few trials have.
            warnings.simplefilter("ignore")
            importances = optuna.importance.get_param_importances(study)
    except (RuntimeError, ValueError):
        # Optuna has no answer where no key is part of all complete trials.
        return None
    return pd.DataFrame(list(importances.items()), columns=["key", "importance"])


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
