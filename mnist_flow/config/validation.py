"""Checks a composed config against its schema, and tells each mistake in one line."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from mnist_flow.config.options import specialise
from mnist_flow.config.section import Section, flatten
from mnist_flow.errors import ConfigError
from mnist_flow.runtime.suggestions import did_you_mean

SectionT = TypeVar("SectionT", bound=Section)


def validate_config(cfg: DictConfig, schema: type[SectionT]) -> SectionT:
    """Turn what Hydra composed into frozen, typed objects, before anything slow or lasting happens.

    Args:
        cfg: what Hydra composed.
        schema: of the command, such as TrainConfig.

    Raises:
        ConfigError: one line naming the key, the value and what is allowed.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error
    try:
        return cast(SectionT, specialise(schema, plain).model_validate(plain))
    except ValidationError as error:
        raise ConfigError("; ".join(_describe(detail, plain) for detail in error.errors())) from error


def _describe(detail: Any, plain: Any) -> str:
    """One pydantic error as `key=value: what is allowed`."""
    path = _strip_tags(detail["loc"], plain)
    value = detail["input"]
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["type"] == "extra_forbidden":
        known = [key for key in flatten(plain) if key != path]
        return f"{path}: unknown key{did_you_mean(path, known)}"
    if detail["type"] == "missing":
        return f"{path}: missing"
    text = "null" if value is None else " ".join(str(value).split())
    message = detail["msg"].replace("Input should be", "must be")
    return f"{path}={text}: {message}"


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
