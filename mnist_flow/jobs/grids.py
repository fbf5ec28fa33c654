"""The grids of a sweep: what is typed, with what presets and a file of jobs say beside it, multiplied out or paired."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from mnist_flow.config.overrides import list_values
from mnist_flow.errors import ConfigError
from mnist_flow.runtime.suggestions import did_you_mean


@dataclass(frozen=True)
class Grid:
    """Overrides whose values are multiplied out, or paired where `zip` is among them."""

    overrides: list[str]
    # Where they come from, for messages; None: all of them were typed or are a preset's.
    origin: str | None
    # The override of the preset, where several were typed: each has a sweep of its own. None: they were not.
    preset: str | None = None


def list_grids(config: DictConfig, loader: ConfigLoader, parser: OverridesParser) -> list[Grid]:
    """List the grids of a sweep: one, or one for each entry of a list of jobs and for each preset.

    An override that was typed replaces what an entry has for the same key, and both replace what a preset has; a list
    of jobs that was typed replaces that of a preset, and `replicates` its seeds, the first of which is kept.

    Raises:
        ConfigError: the list of jobs can't be read.
        HydraException: Hydra refuses a preset.
    """
    typed = read_overrides(config.hydra.overrides.task)
    of_hydra = read_overrides(config.hydra.overrides.hydra)
    names = {name_key(text) for text in typed}
    rest = [text for text in typed if name_key(text) != "jobs"]
    presets: dict[str, DictConfig] = {}
    grids: list[Grid] = []
    lists = [one for one in parser.parse_overrides(typed) if name_key(one.input_line or "") == "jobs"]
    for origin, entry in _read_entries(lists[-1], parser) if lists else [(None, [])]:
        overrides = [text for text in entry if name_key(text) not in names] + rest
        chosen = [one for one in parser.parse_overrides(overrides) if one.key_or_group == "experiment"]
        if not chosen or ("experiment" in names and not chosen[-1].is_discrete_sweep()):
            grids += _list_grids_of(config, overrides, origin, None, parser)
            continue
        # The config of the whole sweep was composed without these presets.
        others = [text for text in overrides if name_key(text) != "experiment"]
        of_several = "experiment" in names
        for preset in _list_values(chosen[-1]):
            if preset not in presets:
                presets[preset] = loader.load_configuration(
                    config.hydra.job.config_name, [*of_hydra, preset], RunMode.MULTIRUN
                )
            preset_of_sweep = preset if of_several else None
            grids += _list_grids_of(presets[preset], [preset, *others], origin, preset_of_sweep, parser)
    return grids


def _list_grids_of(
    own: DictConfig, overrides: list[str], origin: str | None, preset: str | None, parser: OverridesParser
) -> Iterator[Grid]:
    """List the grids of a preset: one, or one for each entry of its own list of jobs, where no other was typed."""
    params = [f"{key}={value}" for key, value in (own.hydra.sweeper.get("params") or {}).items()]
    if "replicates" in map(name_key, overrides):
        params = [_list_values(parser.parse_override(one))[0] if name_key(one) == "seed" else one for one in params]
    grid = [text for text in params if name_key(text) != "jobs"]
    jobs = [text for text in params if name_key(text) == "jobs"]
    if not jobs or origin is not None:
        yield Grid(_put_before(grid, overrides), origin, preset)
        return
    for place, entry in _read_entries(parser.parse_override(jobs[0]), parser):
        yield Grid(_put_before(grid, _put_before(entry, overrides)), place, preset)


def multiply_grid(overrides: Sequence[Override]) -> list[list[str]]:
    """List every combination of the overrides' values, the last override varying fastest, as Hydra's own sweeper does.

    The last of several overrides with the same key counts, at the place of the first. Keys that `zip` lists vary
    together, at the place of the first of them.

    Raises:
        ConfigError: `zip` lists keys that can't be paired.
        HydraException: an override sweeps over an interval, which has no list of values.
    """
    choices: dict[str, list[str]] = {}
    pairs: list[list[str]] = []
    for override in overrides:
        key = override.get_key_element()
        if name_key(key) == "zip":
            pairs = _read_pairs(override)
        else:
            choices[key] = _list_values(override)
    axes = {key: [{key: text} for text in values] for key, values in choices.items()}
    for keys in _check_pairs(pairs, choices):
        paired = [dict(zip(keys, texts, strict=True)) for texts in zip(*(choices[key] for key in keys), strict=True)]
        first = min(keys, key=list(choices).index)
        axes.update({key: paired if key == first else [{}] for key in keys})
    jobs = [{key: text for part in parts for key, text in part.items()} for parts in itertools.product(*axes.values())]
    return [[job[key] for key in choices] for job in jobs]


def read_overrides(overrides: ListConfig) -> list[str]:
    """Return overrides as they were typed, because `${hydra.job.num}` in one has a value only within a job."""
    typed: Any = OmegaConf.to_container(overrides, resolve=False)
    return [str(text) for text in typed]


def name_key(override: str) -> str:
    """Name the key of an override, without the plus signs before it."""
    return override.lstrip("+").partition("=")[0]


def _put_before(first: list[str], overrides: list[str]) -> list[str]:
    """Put overrides before others, without the keys that those have."""
    names = {name_key(text) for text in overrides}
    return [text for text in first if name_key(text) not in names] + overrides


def _list_values(override: Override) -> list[str]:
    """List an override with each of its values."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if override.is_discrete_sweep():
        return [f"{key}={value}" for value in list_values(override)]
    raise HydraException(
        f"{override.input_line}: a grid needs a list of values; intervals are for hydra/sweeper=optuna"
    )


def _read_pairs(override: Override) -> list[list[str]]:
    value: Any = override.value()
    if value is None:
        return []
    lists = value if isinstance(value, list) and all(isinstance(keys, list) for keys in value) else [value]
    for keys in lists:
        if not isinstance(keys, list) or len(keys) < 2 or not all(isinstance(key, str) for key in keys):
            raise ConfigError(
                f"{override.input_line}: must be a list of two keys or more, or several such lists; "
                "zip='[optimizer.learning_rate,epochs]'"
            )
    return lists


def _check_pairs(pairs: Sequence[Sequence[str]], choices: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Find the keys that `zip` lists among those of the grid, which may have a plus sign before them."""
    swept = {name_key(key): key for key, values in choices.items() if len(values) > 1}
    named = [key for keys in pairs for key in keys]
    for key in named:
        if key.lstrip("+") not in swept:
            known = f"Keys with several values: {' '.join(swept)}"
            raise ConfigError(f"zip: {key} has not several values here{did_you_mean(key, swept)} {known}")
        if named.count(key) > 1:
            raise ConfigError(f"zip: {key} is listed twice; a key belongs to one list")
    found = [[swept[key.lstrip("+")] for key in keys] for keys in pairs]
    for keys in found:
        if len({len(choices[key]) for key in keys}) > 1:
            counts = ", ".join(f"{name_key(key)} has {len(choices[key])} values" for key in keys)
            raise ConfigError(f"zip: {counts}; keys that are paired need equally many")
    return found


def _read_entries(jobs: Override, parser: OverridesParser) -> Iterator[tuple[str | None, list[str]]]:
    """Read the entries of the list, or of the file, that an override names, with where each of them stands.

    Raises:
        ConfigError: the file can't be read, or an entry is no list of overrides.
    """
    content: Any = jobs.value()
    if content is None:
        yield "jobs=null", []  # No list, in place of a preset's.
        return
    name = "jobs"
    if isinstance(content, str):
        name = f"jobs={content}"
        try:
            content = yaml.safe_load(Path(content).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no YAML: " + " ".join(str(error).split())
            raise ConfigError(f"{name}: can't be read ({reason})") from error
    elif jobs.is_sweep_override():
        raise ConfigError(f"{jobs.input_line}: must be one file, jobs=FILE.yaml")
    if not isinstance(content, list) or not content:
        raise ConfigError(f"{name}: must hold a list of jobs, each a list of overrides: - [reg=1e-5, epochs=20]")
    for number, entry in enumerate(content, start=1):
        origin = f"{name}, entry {number}"
        if not isinstance(entry, list) or not all(isinstance(text, str) for text in entry):
            raise ConfigError(f"{origin}: {entry}: must be a list of overrides, [reg=1e-5, epochs=20]")
        for text in entry:
            try:
                of_hydra = parser.parse_override(text).is_hydra_override()
            except HydraException as error:
                raise ConfigError(f"{origin}: {text}: is no override, KEY=VALUE") from error
            if of_hydra:
                raise ConfigError(f"{origin}: {text}: holds for the whole sweep; type it beside {name}")
        yield origin, entry
