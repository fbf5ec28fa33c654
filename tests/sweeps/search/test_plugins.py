"""The search beside hydra-optuna-sweeper, whose config has the same name.

A stand-in registers what that plugin (1.3.0) does; the plugin itself, which needs another Optuna, was tried by hand.
"""

from __future__ import annotations

import os

import yaml

from support import PROJECT_DIR

STAND_IN = """
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper


class OptunaSweeper(Sweeper):
    def setup(self, **given: Any) -> None: ...
    def sweep(self, arguments: list[str]) -> None:
        print("the other sweeper")


@dataclass
class SamplerConfig:
    _target_: str = "optuna.samplers.TPESampler"


@dataclass
class OptunaSweeperConf:
    _target_: str = "hydra_plugins.hydra_optuna_sweeper.OptunaSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}])
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    n_trials: int = 20
    n_jobs: int = 2


store = ConfigStore.instance()
store.store(group="hydra/sweeper", name="optuna", node=OptunaSweeperConf, provider="optuna_sweeper")
store.store(group="hydra/sweeper/sampler", name="tpe", node=SamplerConfig, provider="optuna_sweeper")
"""


def test_the_search_is_ours_where_the_other_plugin_is_installed(tmp_path, run_command):
    plugin = tmp_path / "installed" / "hydra_plugins" / "hydra_optuna_sweeper"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text(STAND_IN)
    # Also where its folder comes first.
    path = os.pathsep.join([str(tmp_path / "installed"), str(PROJECT_DIR)])
    command = ("-m", "mnist_flow.train", "hydra/sweeper=optuna")
    done = run_command(tmp_path, *command, "--cfg", "hydra", "--package", "hydra.sweeper", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    sweeper = yaml.safe_load(done.stdout)
    assert sweeper["_target_"] == "hydra_plugins.mnist_flow_sweeper.SearchSweeper"
    assert (sweeper["sampler"], "n_jobs" in sweeper) == ("tpe", False)
    alone = ("-c", "import hydra_plugins.hydra_optuna_sweeper as one; print(one.__file__)")
    assert str(plugin) in run_command(tmp_path, *alone, PYTHONPATH=path).stdout
