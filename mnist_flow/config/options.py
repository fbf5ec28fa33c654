"""Finds the Python module of an option by its name, so that a new option is one file there and one in conf/.

The option `noise=gaussian` is the file conf/noise/gaussian.yaml and the module `mnist_flow.data.noise.gaussian`, which
holds `Config`, the schema of the file, beside the function that does what it says. An option whose file has the key
`module` is that module instead, `module: my_package.my_noise`. A module is imported when a config names it, not before.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from types import ModuleType
from typing import Any, get_args

from pydantic import create_model

from mnist_flow.config.section import OptionSection, Section
from mnist_flow.errors import ConfigError
from mnist_flow.runtime.own_code import import_quietly, locate_mistake, locate_name, note_named, shorten_path
from mnist_flow.runtime.suggestions import did_you_mean

# What a module of the user's own must hold beside its `Config`, by the package of this project's options: one of each
# line's names, with what it is called with if it is a function. `load` is called with the option's own keys, too.
_NEEDS: dict[str, tuple[dict[str, tuple[str, ...] | None], ...]] = {
    "mnist_flow.data.sets": ({"load": ("path",)},),
    "mnist_flow.models": ({"build": ("config", "info")},),
    "mnist_flow.training.schedules": (
        {"build_schedule": ("config", "learning_rate", "steps_per_epoch", "epochs"), "build_plateau": ("config",)},
    ),
    "mnist_flow.training.losses": ({"build_loss": ("config",)},),
    "mnist_flow.data.noise": ({"add_noise": ("images", "level", "rng")},),
    "mnist_flow.data.augmentation": (
        {"draw_transforms": ("config", "n", "size", "rng"), "augment_images": ("config", "images", "rng")},
    ),
    "mnist_flow.evaluation.measures": ({"TASKS": None}, {"measure": ("name", "config", "subject")}),
    "mnist_flow.analysis.studies": ({"draw": ("runs", "study")},),
}


@dataclass(frozen=True)
class Option:
    """Marks a field of a schema that a config group fills: its type is the chosen option's `Config`.

    Args:
        package: holds the options of this project, a module each.
        key: the key of the option's file that names its module.
        several: the field is a mapping from the names of options to what each says.
    """

    package: str
    key: str = "name"
    several: bool = False


def find_option(package: str, name: str, module: str | None = None) -> ModuleType:
    """Import the module of an option.

    Args:
        package: of this project's own options.
        name: of the option.
        module: a full name of a module instead.

    Raises:
        ConfigError: there is no such module, it can't be imported, or it lacks what its package's options have.
    """
    if module is not None:
        return _import_own(package, str(module))
    path = f"{package}.{name}"
    if name.isidentifier() and find_spec(path) is not None:
        option = import_module(path)
        if _holds_config(option):
            return option
    known = list_options(package)
    raise ConfigError(f"{name}: must be one of {' '.join(known)}{did_you_mean(name, known)}")


def _import_own(package: str, name: str) -> ModuleType:
    """Import a module that a config names, and tell what is wrong with it, with its file and line."""
    note_named(name)
    absent = f"module={name}: no such module; it must be importable from here, say with PYTHONPATH=."
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(absent)
    try:
        option = import_quietly(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(absent) from error
        told = locate_mistake(error) or f"{type(error).__name__}: {error}"
        raise ConfigError(f"module={name}: can't be imported: {told}") from error
    if not _holds_config(option):
        raise ConfigError(f"module={name}: holds no class Config, a mnist_flow.config.OptionSection")
    for need in _NEEDS.get(package, ()):
        if not any(hasattr(option, choice) for choice in need):
            file = shorten_path(str(option.__file__))
            raise ConfigError(
                f"module={name}: {file} holds no {' or '.join(need)}; see CONTRIBUTING.md, How to add a …"
            )
        # What an option does is looked for beside the class that its config is of.
        schema = option.Config
        beside = import_module(schema.__module__)
        if any(getattr(beside, choice, None) is not getattr(option, choice, None) for choice in need):
            raise ConfigError(
                f"module={name}: its Config is {schema.__module__}.{schema.__name__} itself; make it a class of its "
                f"own: class Config({schema.__name__})"
            )
    return option


def _check_functions(package: str, option: ModuleType, keys: Sequence[str]) -> None:
    """Refuse a module of the user's own with a function that can't be called as it will be; `keys` are its own keys."""
    for name, arguments in chain.from_iterable(need.items() for need in _NEEDS.get(package, ())):
        if arguments is None or not hasattr(option, name):
            continue
        options = keys if name == "load" else []
        try:
            inspect.signature(getattr(option, name)).bind(*arguments, **dict.fromkeys(options))
        except TypeError as error:
            wanted = f"{name}({', '.join([*arguments, *options])})"
            raise ConfigError(
                f"module={option.__name__}: {locate_name(option, name)} must be a function {wanted}"
            ) from error


def _holds_config(option: ModuleType) -> bool:
    return isinstance(getattr(option, "Config", None), type) and issubclass(option.Config, OptionSection)


def find_module(config: OptionSection) -> ModuleType:
    """The module of an option that has been chosen: what stands beside its `Config`."""
    return import_module(type(config).__module__)


def list_options(package: str) -> list[str]:
    """Names of this project's own options of a package, sorted."""
    modules = pkgutil.iter_modules(import_module(package).__path__)
    return sorted(one.name for one in modules if hasattr(import_module(f"{package}.{one.name}"), "Config"))


def specialise(schema: type[Section], plain: Any) -> type[Section]:
    """Give the fields of a schema that are options the types of the options that a config chooses.

    Args:
        schema: has fields that are marked with `Option`.
        plain: the config, not validated yet.

    Returns:
        A subclass of the schema, or the schema itself where there is nothing to choose.

    Raises:
        ConfigError: an option has no module.
    """
    fields: dict[str, type[Section]] = {}
    for field, info in schema.model_fields.items():
        option = next((mark for mark in info.metadata if isinstance(mark, Option)), None)
        chosen = plain.get(field) if isinstance(plain, dict) else None
        if option is None or not isinstance(chosen, dict):
            continue
        if option.several:
            members = {
                name: _find_config(f"{field}.{name}.", option, OptionSection, name, one) for name, one in chosen.items()
            }
            base: Any = info.annotation
            fields[field] = _extend(base, tuple(members.items()))
        elif isinstance(chosen.get(option.key), str) or chosen.get("module"):
            wanted = next(one for one in (info.annotation, *get_args(info.annotation)) if isinstance(one, type))
            fields[field] = _find_config(f"{field}.", option, wanted, str(chosen.get(option.key)), chosen)
    return _extend(schema, tuple(fields.items())) if fields else schema


@lru_cache
def _extend(schema: type[Section], types: tuple[tuple[str, type[Section]], ...]) -> type[Section]:
    """A subclass whose fields have these types; always the same one, so that equal configs are equal."""
    fields: dict[str, Any] = {name: (one, ...) for name, one in types}
    extended: type[Section] = create_model(schema.__name__, __base__=schema, **fields)
    return extended


def _find_config(prefix: str, option: Option, wanted: type[Section], name: str, chosen: Any) -> type[OptionSection]:
    """The schema of a chosen option, whose keys begin with `prefix`; a user's own must be a subclass of `wanted`."""
    module = chosen.get("module") if isinstance(chosen, dict) else None
    try:
        config: type[OptionSection] = find_option(option.package, name, module).Config
        if not issubclass(config, wanted):
            base = f"{wanted.__module__}.{wanted.__name__}"
            raise ConfigError(f"module={module}: its class Config must inherit {base}")
        if module is not None:
            keys = config.model_fields.keys() - wanted.model_fields.keys()
            _check_functions(option.package, import_module(config.__module__), sorted(keys))
    except ConfigError as error:
        key = prefix.removesuffix(".") if option.several else f"{prefix}{option.key}"
        raise ConfigError(f"{key}={error}" if module is None else f"{prefix}{error}") from error
    return config
