"""What the jobs of a sweep are told, under any launcher: overrides and environment variables that Hydra gives them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from omegaconf import DictConfig, OmegaConf

from mnist_flow import tracking
from mnist_flow.jobs.composition import Job
from mnist_flow.jobs.tables import find_varying
from mnist_flow.tracking import TrackedRun

# Ray's workers have the variables of the shell that started their node; those of other launchers have this process's.
_REMOTE_LAUNCHER = "RayLauncher"
_CARRIED_VARIABLES = ("MNIST_NPZ", "TF_CPP_MIN_LOG_LEVEL")


def hand_over(config: DictConfig, jobs: Sequence[Job], parent: TrackedRun) -> None:
    """Tell the jobs of a sweep their experiment, their parent run, and the params that vary.

    Args:
        config: as Hydra composed it for the whole sweep. Its `hydra.overrides.hydra` is extended: Hydra composes each
            job's config with these overrides, and sets the variables in them around the job.
        jobs: the jobs of the grid; empty where the sweeper chooses its jobs as it goes.
        parent: the parent run.
    """
    config.hydra.overrides.hydra += [
        f"+hydra.job.env_set.{tracking.EXPERIMENT_ID_VARIABLE}='{parent.experiment_id}'",
        f"+hydra.job.env_set.{tracking.PARENT_RUN_ID_VARIABLE}='{parent.run_id}'",
        f"+hydra.job.env_set.{tracking.VARYING_VARIABLE}='{','.join(find_varying(jobs))}'",
        # Replicates are jobs of their own by now.
        *(["replicates=1"] if jobs else []),
    ]
    if config.hydra.launcher._target_.endswith(_REMOTE_LAUNCHER):
        given = {name: os.environ[name] for name in _CARRIED_VARIABLES if name in os.environ}
        config.hydra.overrides.hydra += carry_variables({**given, **tracking.list_variables()})


def carry_variables(variables: Mapping[str, str]) -> list[str]:
    """Return overrides with which Hydra sets environment variables around each job.

    The overrides hold no values, because Hydra's config is kept and logged and a value may be a password. The values
    travel in an OmegaConf resolver, which is pickled with the job.
    """

    def get_variable(name: str) -> str:
        return variables[name]

    OmegaConf.register_new_resolver("sweep_variable", get_variable, replace=True)
    return [f"+hydra.job.env_set.{name}='${{sweep_variable:{name}}}'" for name in variables]
