"""Translate the arguments of `mlflow run` into Hydra's: the commands in MLproject call this module.

`mlflow run` hands over all overrides as one shell-quoted argument, and a parameter that MLproject does not declare
(`-P reg=1e-5`) as `--reg 1e-5`. Hydra wants `key=value` arguments.
"""

import os
import runpy
import shlex
import sys
from collections.abc import Sequence

# MLflow's variables for the experiment of the run that `mlflow run` created.
_EXPERIMENT_VARIABLES = ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")


def prefer_typed_experiment(is_typed: bool) -> None:
    """Under `mlflow run`, let a typed tracking.experiment_name win over the variables that otherwise win over it.

    There they say where the run that `mlflow run` created is kept, and not whose runs are measured or drawn.
    """
    if is_typed and os.environ.get("MLFLOW_RUN_ID"):
        for name in _EXPERIMENT_VARIABLES:
            os.environ.pop(name, None)


def to_hydra_arguments(arguments: Sequence[str]) -> list[str]:
    """Convert arguments as `mlflow run` builds them into arguments as Hydra takes them.

    >>> to_hydra_arguments(["model=lenet5 reg=1e-5", "--seed", "3"])
    ['model=lenet5', 'reg=1e-5', 'seed=3']
    """
    converted: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--multirun" or not argument.startswith("--"):
            converted += shlex.split(argument)
        else:
            converted.append(f"{argument.removeprefix('--')}={next(waiting, '')}")
    return converted


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    try:
        sys.argv[1:] = to_hydra_arguments(rest)
    except ValueError as error:
        print(f"error: overrides={rest[-1]}: {error}; close the quote", file=sys.stderr)
        sys.exit(2)
    runpy.run_module(f"mnist_flow.{command}", run_name="__main__", alter_sys=True)
