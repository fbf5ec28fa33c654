"""What a search's settings refuse of its objectives."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mnist_flow.errors import ConfigError
from mnist_flow.sweeps.search.settings import SearchSettings, check_objective

NUMBERS = {"n_trials": 5, "seed": 0, "confirm": 0, "confirm_seeds": 3}
SETTINGS = {
    **dict.fromkeys(("timeout", "sampler_options", "pruner_options", "params")),
    **NUMBERS,
    "sampler": "tpe",
    "pruner": "none",
    "include_finished": False,
}


def test_a_sampler_of_one_objective_names_those_that_take_several():
    base = SimpleNamespace(objective="val_loss", objectives=("val_loss", "fit_seconds"), replicates=1)
    check_objective(SearchSettings.model_validate(SETTINGS), base)
    settings = SearchSettings.model_validate({**SETTINGS, "sampler": "cmaes"})
    message = r"sampler=cmaes: takes one objective, and evaluation\.objective=\[val_loss,fit_seconds\] has 2; .*nsgaii"
    with pytest.raises(ConfigError, match=message):
        check_objective(settings, base)
