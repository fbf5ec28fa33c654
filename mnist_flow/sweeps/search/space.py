"""The space of a search: Hydra's own grammar of sweeps, as Optuna's distributions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial

from mnist_flow.config.overrides import list_values
from mnist_flow.config.train import INCIDENTAL
from mnist_flow.errors import ConfigError

_ONE_MEASURE = "all trials are measured by the same images; give it one value"
# Keys that a search may not choose, and what to do instead.
_REFUSED = {
    "seed": "replicates=3 trains each trial with three seeds",
    "replicates": "replicates=3 trains each trial with three seeds",
    "experiment": "a search has one preset; make a search for each",
    "training.threads": "TensorFlow keeps the threads of a process's first trial; give it one value",
    **dict.fromkeys(
        ("data.fold", "data.folds", "data.split_seed", "data.holdout_size", "data.validation"), _ONE_MEASURE
    ),
}
# Overrides → the config that Hydra composes from them.
Compose = Callable[[list[str]], DictConfig]


@dataclass(frozen=True)
class Space:
    """What a search may choose, and what is the same in all trials."""

    # Overrides that all trials have, and those of them that choose options of config groups.
    fixed: tuple[str, ...]
    options: tuple[str, ...]
    # By override key, options of config groups first: they decide which of the other keys there are.
    dimensions: Mapping[str, BaseDistribution]
    # The keys that choose the options of config groups.
    groups: frozenset[str]
    # The overrides of the dimensions as they were typed, in the same order.
    typed: tuple[str, ...] = ()

    def suggest(self, trial: BaseTrial, compose: Compose) -> dict[str, Any]:
        """Choose a value for each key that the config of the trial has.

        A key that the options chosen before do not have, such as `optimizer.momentum` with Adam, is left out.

        Args:
            trial: of Optuna, which draws the values.
            compose: makes configs from overrides.
        """
        choices: dict[str, Any] = {}
        for key in [key for key in self.dimensions if key in self.groups]:
            choices[key] = _draw(trial, key, self.dimensions[key])
        cfg = compose([*self.options, *(f"{key}={name}" for key, name in choices.items())])
        for key in [key for key in self.dimensions if key not in self.groups]:
            if has_key(cfg, key):
                choices[key] = _draw(trial, key, self.dimensions[key])
        return choices

    def list_overrides(self, choices: Mapping[str, Any]) -> list[str]:
        """Write a trial as overrides, from which Hydra composes its config."""
        return [*self.fixed, *(f"{key}={write_choice(value)}" for key, value in choices.items())]

    def check(self, compose: Compose) -> None:
        """Check that each key belongs to a config of the space.

        Raises:
            ConfigError: with no option of the config groups that are searched there is such a key.
        """
        options = [
            (group, str(option)) for group in self.groups for option in getattr(self.dimensions[group], "choices", ())
        ]
        configs = [compose([*self.options, *chosen]) for chosen in ([], *([f"{key}={name}"] for key, name in options))]
        for key in self.dimensions:
            if key not in self.groups and not any(has_key(cfg, key) for cfg in configs):
                raise ConfigError(f"{key}: no config of this space has such a key; --help lists the keys")

    def describe(self) -> dict[str, str]:
        """Each key with its distribution, as text that is the same for equal spaces."""
        return {key: str(distribution) for key, distribution in sorted(self.dimensions.items())}


def read_space(overrides: Sequence[Override], chooses_option: Callable[[str], bool]) -> Space:
    """Read the space that overrides describe.

    Args:
        overrides: as Hydra parsed them; the last of several with the same key counts.
        chooses_option: whether an override, without its sweep, chooses an option of a config group.

    Raises:
        ConfigError: a range is empty or can't be searched, or nothing is to be chosen.
    """
    last = {override.get_key_element(): override for override in overrides}
    fixed: dict[str, str] = {}
    dimensions: dict[str, BaseDistribution] = {}
    groups = set()
    for key, override in last.items():
        if override.is_sweep_override():
            dimensions[key] = read_distribution(override)
            if isinstance(dimensions[key], CategoricalDistribution):
                first = dimensions[key].choices[0]  # type: ignore[attr-defined]
                if chooses_option(f"{key}={first}"):
                    groups.add(key)
        else:
            fixed[key] = f"{key}={override.get_value_element_as_str()}" if not override.is_delete() else key
    if not dimensions:
        raise ConfigError(
            "hydra/sweeper=optuna: nothing is to be searched; give a key a range, "
            "'optimizer.learning_rate=tag(log,interval(0.001,1))'"
        )
    for key in dimensions:
        _check_key(key.lstrip("+"))
    if "zip" in fixed:
        raise ConfigError("zip: pairs the values of a grid, and a search chooses each by itself; leave it out")
    ordered = {key: dimensions[key] for key in sorted(dimensions, key=lambda key: key not in groups)}
    options = tuple(text for text in fixed.values() if chooses_option(text))
    typed = tuple(str(last[key].input_line) for key in ordered)
    return Space(tuple(fixed.values()), options, ordered, frozenset(groups), typed)


def _check_key(key: str) -> None:
    """Refuse a key by which a search would choose a lucky trial, or one that changes no result."""
    if key in _REFUSED:
        raise ConfigError(f"{key}: is not for a search to choose; {_REFUSED[key]}")
    if key.startswith(INCIDENTAL):
        raise ConfigError(f"{key}: is not for a search to choose, since it changes no result; give it one value")


def read_distribution(override: Override) -> BaseDistribution:
    """Turn the sweep of an override into a distribution.

    `interval(a,b)` is a number from a to b, `int(interval(a,b))` an integer from a to b, `range(a,b,step)` what
    Python's range has, without b; everything else is a list of choices. `tag(log,…)` makes the logarithm uniform.

    Raises:
        ConfigError: the range or list is empty, or has no logarithm.
    """
    sweep: Any = override.value()
    text = override.input_line
    if not isinstance(sweep, (IntervalSweep, RangeSweep)):
        return CategoricalDistribution(list_values(override))
    if unknown := sweep.tags - {"log"}:
        raise ConfigError(f"{text}: tag {sorted(unknown)[0]} is unknown to a search; known: log")
    log = "log" in sweep.tags
    if isinstance(sweep, IntervalSweep):
        low, high, step = sweep.start, sweep.end, None
    else:
        values = [one if isinstance(one, int) else float(one) for one in sweep.range()]
        if not values:
            raise ConfigError(f"{text}: the range is empty")
        low, high, step = values[0], values[-1], values[1] - values[0] if len(values) > 1 else None
        if step is not None and step < 0:
            low, high, step = high, low, -step
    whole = isinstance(low, int) and isinstance(high, int)
    assert low is not None
    assert high is not None
    if (
        not (math.isfinite(low) and math.isfinite(high))
        or low > high
        or (isinstance(sweep, IntervalSweep) and low == high)
    ):
        raise ConfigError(f"{text}: the range is empty; its start must be below its end")
    if log and low <= 0:
        raise ConfigError(f"{text}: a logarithm needs a range above 0, and this one begins at {low:g}")
    if log and isinstance(sweep, RangeSweep):
        if not whole or step not in (None, 1):
            raise ConfigError(f"{text}: a logarithmic range has no steps; tag(log,int(interval({low:g},{high:g})))")
        step = None
    if whole:
        return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
    return FloatDistribution(float(low), float(high), log=log, step=None if step is None else float(step))


def has_key(cfg: DictConfig, key: str) -> bool:
    """Whether a config has a key, or is to get it by `+key=…`."""
    if key.startswith("+"):
        return True
    parent, _, name = key.rpartition(".")
    section = OmegaConf.select(cfg, parent) if parent else cfg
    return isinstance(section, DictConfig) and name in section


def write_choice(value: Any) -> str:
    """Write a chosen value as it stands in an override; choices are texts of that form already."""
    return value if isinstance(value, str) else repr(value)


def _draw(trial: BaseTrial, key: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(key, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
