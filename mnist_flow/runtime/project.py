"""Translate the arguments of `mlflow run` into Hydra's: the commands in MLproject call this module.

`mlflow run` hands over all overrides as one shell-quoted argument, and a parameter that MLproject does not declare
(`-P reg=1e-5`) as `--reg 1e-5`. Hydra wants `key=value` arguments.
"""

import os
import runpy
import shlex
import sys
from collections.abc import Sequence

from mnist_flow.errors import ConfigError
from mnist_flow.runtime.suggestions import find_similar

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

    Args:
        arguments: perhaps --multirun, then all overrides as one text, then name and value of each undeclared parameter.

    Raises:
        ConfigError: a quote is not closed, or a parameter is `overrides` misspelt.
    """
    n_options = 1 if arguments[:1] == ["--multirun"] else 0
    overrides, undeclared = "".join(arguments[n_options : n_options + 1]), arguments[n_options + 1 :]
    try:
        converted = [*arguments[:n_options], *shlex.split(overrides)]
    except ValueError as error:
        raise ConfigError(f"overrides={overrides}: {error}; close the quote") from error
    for option, value in zip(undeclared[::2], undeclared[1::2], strict=False):
        name = option.removeprefix("--")
        if find_similar(name, ["overrides"]):
            remedy = f"did you mean 'overrides'? If so, type -P {shlex.quote(f'overrides={value}')}"
            raise ConfigError(f"{name}={value}: MLproject has no such parameter; {remedy}")
        converted.append(f"{name}={value}")
    return converted


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    try:
        sys.argv[1:] = to_hydra_arguments(rest)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    runpy.run_module(f"mnist_flow.{command}", run_name="__main__", alter_sys=True)
