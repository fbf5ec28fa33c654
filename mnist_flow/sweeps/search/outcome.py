"""What a search leaves behind: the tables of its parent run, and the best config as a preset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mnist_flow.config.train import is_minimised
from mnist_flow.sweeps.search.space import Space
from mnist_flow.sweeps.search.study import TrialRecord

# Overrides that say where and how something runs, not what: they are no part of a preset.
_INCIDENTAL = ("tracking.", "data.path", "resume", "plan", "hydra", "experiment")


def build_trials(records: Sequence[TrialRecord], keys: Iterable[str], objectives: Sequence[str]) -> pd.DataFrame:
    """Build a table with one row per trial.

    Returns:
        trial (from 0); a column for each key of the space, None where the trial did not have it; state (running,
        complete, pruned, failed); the objectives, each the mean over its replicates, of pruned trials the last value
        that was reported; n replicates; last_step, the epoch or replicate of that value; seconds; run_ids with blanks
        between; reason.
    """
    rows = [
        {
            "trial": record.number,
            **{key: record.choices.get(key) for key in keys},
            "state": record.state,
            **dict(zip(objectives, record.objectives or [None] * len(objectives), strict=True)),
            "n": len(record.replicates),
            "last_step": max(record.reports, default=None),
            "seconds": measure_seconds(record),
            "run_ids": " ".join(record.run_ids),
            "reason": record.reason,
        }
        for record in records
    ]
    return pd.DataFrame(rows)


def measure_seconds(record: TrialRecord) -> float | None:
    """Measure how long a trial took; None: it goes on, or its runs were finished before."""
    if record.state == "running" or record.started is None or record.ended is None:
        return None
    return round(record.ended - record.started, 2)


def build_space_table(space: Space) -> pd.DataFrame:
    """Build a table with one row per key of the space and its distribution, in Optuna's words."""
    return pd.DataFrame(list(space.describe().items()), columns=["key", "distribution"])


def choose_best(records: Sequence[TrialRecord], objectives: Sequence[str], n: int = 1) -> list[TrialRecord]:
    """Choose the best complete trials, those with the best first objective first; of equal ones the first.

    Returns:
        `n` of them or fewer; with several objectives the Pareto front: all trials that no other surpasses in one
        objective without falling behind in another.
    """
    signs = [1 if is_minimised(objective) else -1 for objective in objectives]
    complete = [record for record in records if record.state == "complete"]
    costs = np.array([record.objectives for record in complete], dtype=float).reshape(len(complete), len(signs)) * signs
    order = sorted(range(len(complete)), key=lambda index: (costs[index, 0], complete[index].number))
    if len(objectives) == 1:
        return [complete[index] for index in order[:n]]
    is_on_front = find_front(costs)
    return [complete[index] for index in order if is_on_front[index]]


def find_front(costs: np.ndarray) -> np.ndarray:
    """Find the Pareto front: the rows of which no other is lower in one cost and as low in all.

    Args:
        costs: (n, k), float.

    Returns:
        Whether each row is on it, (n,), bool.
    """
    return ~np.array([((costs <= row).all(1) & (costs < row).any(1)).any() for row in costs], dtype=bool)


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
