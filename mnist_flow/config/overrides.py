"""Overrides as they are typed: a value in Hydra's grammar, and an argument in a shell's."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from mnist_flow.errors import ConfigError

# Folder of the user's own options where a function composed the config, and no command line has it.
_CONFIG_DIR: ContextVar[Path | None] = ContextVar("config_dir", default=None)


def type_override(key: str, value: Any) -> str:
    """Write an override as it is typed in a shell, so that the config gets this very value.

    >>> type_override("tracking.experiment_name", "2024")
    '"tracking.experiment_name=\\'2024\\'"'
    """
    return quote_argument(write_override(key, value))


def write_override(key: str, value: Any) -> str:
    """Write an override as Hydra reads it from an argument: text that it would read otherwise is put in quotes.

    Args:
        key: of the config.
        value: text, a number, True, False, None, or a list or dict of these.
    """
    return f"{key}={_write_value(value)}"


def list_values(override: Override) -> list[str]:
    """List the values of an override that sweeps over a list, a range or a pattern, as text.

    Raises:
        ConfigError: there are none, so that a sweep would do nothing.
    """
    check_values(override)
    return [str(value) for value in override.sweep_string_iterator()]


def check_values(override: Override) -> None:
    """Refuse a sweep over nothing without listing its values, of which a range may have millions.

    Raises:
        ConfigError: there are none, so that a sweep would do nothing.
    """
    if next(override.sweep_string_iterator(), None) is None:
        raise ConfigError(
            f"{override.input_line}: has no values, and nothing would be done; range(a,b) needs a below b, or a "
            "negative step, and glob(a*) an option of such a name"
        )


def take_config_options(arguments: Sequence[str]) -> tuple[list[str], list[Path], str | None]:
    """Take out Hydra's --config-dir and --config-name; returns the other arguments, the folders and the name."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", action="append", type=Path, default=[])
    parser.add_argument("--config-name", "-cn")
    known, rest = parser.parse_known_args(list(arguments))
    return rest, [path.resolve() for path in known.config_dir], known.config_name


def join_searchpath(arguments: Sequence[str], folders: Sequence[object]) -> list[str]:
    """Put folders before those of a typed hydra.searchpath, in one override: of several Hydra takes the last alone."""
    if not folders:
        return list(arguments)
    typed = [argument for argument in arguments if argument.lstrip("+").startswith("hydra.searchpath=")]
    further: Any = OverridesParser.create().parse_override(typed[-1]).value() if typed else None
    further = [further] if isinstance(further, str) else further or []
    joined = write_override("hydra.searchpath", [*(f"file://{folder}" for folder in folders), *further])
    return [*(argument for argument in arguments if argument not in typed), joined]


def list_config_dirs(hydra: Any) -> list[str]:
    """List Hydra's option --config-dir with its absolute path; Hydra's config does not have it among the overrides."""
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    return [word for folder in folders for word in ("--config-dir", folder)]


def is_typed(key: str) -> bool:
    """Whether a key of the config was typed after this command; False where no command was."""
    typed = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return any(override.lstrip("+").startswith(f"{key}=") for override in typed)


@contextmanager
def config_dir_told(folder: Path | None) -> Iterator[None]:
    """Have `begin_command` tell this folder of the user's own options in the block, where no command was given it."""
    token = _CONFIG_DIR.set(folder)
    try:
        yield
    finally:
        _CONFIG_DIR.reset(token)


def begin_command(name: str) -> str:
    """The beginning of a command to be typed, with the folder of the user's own options that this command was given."""
    if folder := _CONFIG_DIR.get():
        given = ["--config-dir", str(folder)]
    else:
        given = list_config_dirs(HydraConfig.get()) if HydraConfig.initialized() else []
    return " ".join([f"python -m mnist_flow.{name}", *map(quote_argument, given)])


def write_sweep_command(typed: str) -> str:
    """Write the command of a sweep; `typed` is quoted for a shell, and begins with run_id=ID if that is a rerun's."""
    return f"python -m mnist_flow.{'rerun' if typed.startswith('run_id=') else 'train'} -m {typed}"


def quote_argument(argument: str) -> str:
    """Quote an argument for a POSIX shell: in double quotes where it holds single ones, which is easier to read."""
    if "'" in argument and not re.search(r"[$`\\!]", argument):
        return '"{}"'.format(argument.replace('"', '\\"'))
    return shlex.quote(argument)


def _write_value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(_write_value(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_write_value(one)}' for key, one in value.items())}}}"
    if isinstance(value, str):
        if _is_read_as_text(value):
            return value
        quote = Quote.double if "'" in value and '"' not in value else Quote.single
        # An interpolation is none behind a backslash.
        return QuotedString(value.replace("${", r"\${"), quote).with_quotes()
    return "null" if value is None else str(value).lower()


def _is_read_as_text(text: str) -> bool:
    """Whether Hydra reads this text, also in a list, as it is, and not as a number, a sweep, an interpolation, …"""
    try:
        read = OverridesParser.create().parse_override(f"key=[{text}]").value()
    except HydraException:
        return False
    return read == [text] and "${" not in text
