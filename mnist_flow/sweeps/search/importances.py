"""How much each key of a space decides, by Optuna's evaluators, and how sure that is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
import pandas as pd
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from mnist_flow.sweeps.search.study import calm_optuna, choose_direction

# A key's share in the variance of the objective over the whole space, for keys that all complete trials have.
FANOVA = "fANOVA"
# How the values of a key that the best tenth of the trials have differ from those of all trials, for all keys.
PED_ANOVA = "PED-ANOVA"
# More trees tell the same, and each resample is fitted anew.
_N_TREES = 16
# Complete trials, below which nothing is told.
_MIN_TRIALS = 4


def build_importances(trials: Sequence[FrozenTrial], objectives: Sequence[str], n_resamples: int = 0) -> pd.DataFrame:
    """Build a table of how much each key decides on each objective, by two of Optuna's evaluators, largest first.

    Args:
        trials: of which the complete ones count.
        objectives: names of their values.
        n_resamples: number of bootstrap resamples of the trials, by which the intervals are measured; 0: no intervals.

    Returns:
        Columns objective, evaluator (fANOVA, PED-ANOVA), key and importance (0 to 1, their sum is 1), and with
        resamples ci_low and ci_high (95 %, percentiles); no row where the trials are too few or too alike to tell.
    """
    calm_optuna()
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    results = [trial.values for trial in complete]  # noqa: PD011
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(complete), size=len(complete)) for _ in range(n_resamples if complete else 0)]
    evaluators = {FANOVA: FanovaImportanceEvaluator(n_trees=_N_TREES, seed=0), PED_ANOVA: PedAnovaImportanceEvaluator()}
    tables = []
    for place, objective in enumerate(objectives):
        measured = [_with_value(trial, values[place]) for trial, values in zip(complete, results, strict=True)]
        for name, evaluator in evaluators.items():
            importances = _compute(evaluator, measured, objective)
            table = pd.DataFrame(list(importances.items()), columns=["key", "importance"])
            if drawn and len(table):
                resampled = [_compute(evaluator, [measured[index] for index in one], objective) for one in drawn]
                told = pd.DataFrame([one for one in resampled if one], columns=table["key"]).fillna(0.0)
                table["ci_low"], table["ci_high"] = (table["key"].map(told.quantile(end)) for end in (0.025, 0.975))
            table.insert(0, "objective", objective)
            table.insert(1, "evaluator", name)
            tables.append(table)
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _with_value(trial: FrozenTrial, value: float) -> FrozenTrial:
    return optuna.create_trial(value=value, params=trial.params, distributions=trial.distributions)


def _compute(
    evaluator: BaseImportanceEvaluator, complete: Sequence[FrozenTrial], objective: str
) -> Mapping[str, float]:
    """Importances by key, the largest first; empty where the trials are too few or too alike to tell."""
    if len(complete) < _MIN_TRIALS or len({trial.value for trial in complete}) < 2:
        return {}
    study = optuna.create_study(direction=choose_direction(objective))
    study.add_trials(complete)
    try:
        with warnings.catch_warnings():
            # Of keys that few trials have.
            warnings.simplefilter("ignore")
            importances = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (RuntimeError, ValueError):
        # Optuna has no answer where no key is part of all complete trials.
        return {}
    return {key: float(importance) for key, importance in importances.items()}
