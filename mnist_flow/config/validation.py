"""Checks a composed config against its schema, and tells each mistake in one line."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from types import NoneType
from typing import Any, TypeVar, cast, get_args

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from mnist_flow.config.options import specialise
from mnist_flow.config.overrides import quote_argument, type_override, write_override
from mnist_flow.config.section import WANTED_TEXTS, Section, flatten
from mnist_flow.errors import ConfigError
from mnist_flow.runtime.suggestions import did_you_mean

SectionT = TypeVar("SectionT", bound=Section)

# pydantic's names of the errors where a number or a truth value is wanted.
_WANTED = {"int_type": int, "float_type": float, "bool_type": bool}


def validate_config(cfg: DictConfig, schema: type[SectionT]) -> SectionT:
    """Turn what Hydra composed into frozen, typed objects, before anything slow or lasting happens.

    Args:
        cfg: what Hydra composed.
        schema: of the command, such as TrainConfig.

    Raises:
        ConfigError: one line naming the key, the value and what is allowed.
    """
    try:
        plain: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error
    specialised = specialise(schema, plain)
    for path, value in flatten(plain).items():
        if value == "None" and NoneType in get_args(_find_type(specialised, path)):
            raise ConfigError(f"{path}=None: is read as text; say {type_override(path, None)}")
    try:
        return cast(SectionT, specialised.model_validate(plain))
    except ValidationError as error:
        # Each type that a value may have makes an error of its own.
        allowed: dict[str, list[str]] = {}
        for detail in error.errors():
            value, message = _describe(detail, plain, specialised)
            allowed.setdefault(value, []).append(message)
        lines = [value + " or ".join(dict.fromkeys(messages)) for value, messages in allowed.items()]
        raise ConfigError("; ".join(lines)) from error


def reword(message: str) -> str:
    """One of pydantic's messages as it stands behind a value here: `must be …`."""
    return message.replace("Input should be", "must be").replace("String should", "must")


def _find_type(schema: Any, path: str) -> Any:
    """The type that a schema gives the value at a path; None where it has no such key."""
    for name in path.split("."):
        fields = getattr(schema, "model_fields", {})
        schema = fields[name].annotation if name in fields else None
    return schema


def _describe(detail: Any, plain: Any, schema: type[Section]) -> tuple[str, str]:
    """One pydantic error as `key=value: ` and what is allowed; a validator of ours has said both in one."""
    path = _strip_tags(detail["loc"], plain)
    value = detail["input"]
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"]), ""
    if detail["type"] == "extra_forbidden":
        if path == "experiment":
            return (
                f"{path}: ",
                "keys of a preset are those of the whole config; its first line must be '# @package _global_'",
            )
        section = path.rpartition(".")[0]
        fields = getattr(_find_type(schema, section) if section else schema, "model_fields", ())
        known = [*(f"{section}.{key}".lstrip(".") for key in fields), *flatten(plain)]
        return f"{path}: ", f"unknown key{did_you_mean(path, known)}"
    if detail["type"] == "missing":
        group = path.partition(".")[0]
        is_own = isinstance(plain.get(group), dict) and plain[group].get("module") is not None
        return f"{path}: ", f"missing; the YAML file of the {group} must have this key" if is_own else "missing"
    text = "null" if value is None else " ".join(str(value).split())
    message = reword(detail["msg"])
    if detail["type"] == "string_pattern_mismatch":
        message = WANTED_TEXTS.get(detail["ctx"]["pattern"], message)
    return f"{path}={text}: ", f"{message}{_suggest(path, detail['type'], value, plain, schema)}"


def _suggest(path: str, kind: str, value: Any, plain: Any, schema: type[Section]) -> str:
    """The argument that was probably meant, where Hydra read another type than the schema wants; else nothing.

    Args:
        path: of the value, perhaps with its place in a list.
        kind: pydantic's name of the error.
        value: that Hydra read.
        plain: the config.
        schema: of the config.
    """
    key, of_list, _ = path.partition("[")
    if kind == "string_type" and not isinstance(value, list | dict):
        meant = [str(one) for one in flatten(plain)[key]] if of_list else _find_typed(key, value)
        return f"; as text: {type_override(key, meant)}"
    if kind == "list_type" and value is not None:
        of_text = "str" in str(_find_type(schema, key))
        as_list = write_override(key, [str(value)]) if of_text else f"{key}=[{value}]"
        return f"; as a list: {quote_argument(as_list)}"
    if kind in _WANTED and not of_list and (guessed := _guess(str(value).lower(), _WANTED[kind])) is not None:
        return f"; say {type_override(key, guessed)}"
    return ""


def _find_typed(key: str, value: Any) -> str:
    """The text that was typed for a key where Hydra read this value: 1e-4 was no 0.0001."""
    for argument in reversed(sys.argv[1:]):
        name, _, text = argument.partition("=")
        with suppress(HydraException):
            if name.lstrip("+") == key and OverridesParser.create().parse_override(argument).value() == value:
                return text
    return "null" if value is None else str(value)


def _guess(text: str, wanted: type) -> Any:
    """A value of the wanted type that a text or a value of another type probably stands for; None: it is not known."""
    if wanted is bool:
        words = dict.fromkeys(("1", "yes", "on", "true"), True) | dict.fromkeys(("0", "no", "off", "false"), False)
        return words.get(text)
    try:
        number = float(text)
    except ValueError:
        return None
    if wanted is int:
        return int(number) if number.is_integer() else None
    return number if math.isfinite(number) else None


def _strip_tags(loc: tuple[int | str, ...], plain: Any) -> str:
    """The config path of an error; pydantic's location also names the union member, which is no key of the config."""
    parts: list[str] = []
    node = plain
    for index, step in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(node, dict) and (step in node or last):
            node = node.get(step)
            parts.append(str(step))
        elif isinstance(node, list) and isinstance(step, int):
            node = node[step]
            parts[-1] += f"[{step}]"
    return ".".join(parts)
