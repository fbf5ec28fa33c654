"""From overrides, as they are typed after a command, to its config."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from mnist_flow import CONF_DIR, cli
from mnist_flow.api.turns import one_at_a_time
from mnist_flow.config.overrides import config_dir_told, write_override
from mnist_flow.config.section import flatten
from mnist_flow.errors import ConfigError
from mnist_flow.runtime.credentials import hide_credentials
from mnist_flow.runtime.own_code import forget_own_code

# Overrides as typed after a command: one text, with a shell's quotes, or a list of them.
Overrides = str | Sequence[str]

_URI_VARIABLE = "MLFLOW_TRACKING_URI"


def split_overrides(overrides: Overrides) -> list[str]:
    """Split overrides as a shell does, if they are one text.

    Raises:
        ConfigError: a quote is not closed, there is an option of the command line, or they are neither text nor texts.
    """
    try:
        words = shlex.split(overrides) if isinstance(overrides, str) else overrides
    except ValueError as error:
        raise ConfigError(f"overrides={overrides}: {error}; close the quote") from None
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise ConfigError(
            f"overrides={overrides!r}: must be one text, or a list of them, such as ['epochs=2', 'reg=0']"
        )
    if options := [word for word in words if word.startswith("-")]:
        remedies = {"-m": "mnist_flow.sweep is for sweeps", "--config-dir": "config_dir='FOLDER' says the same"}
        remedy = ", ".join(["leave it out", *(told for option, told in remedies.items() if option == options[0])])
        raise ConfigError(f"{options[0]}: is an option of the command line; {remedy}")
    return list(words)


@contextmanager
def composed(
    config_name: str, overrides: Sequence[str], config_dir: str | Path | None, mode: RunMode = RunMode.RUN
) -> Iterator[DictConfig]:
    """Compose the config of a command; an error in the block becomes one of `mnist_flow.errors`, as its line tells it.

    Threads enter the block one after another: Hydra composes one config at a time, and what is done with it here needs
    the process for itself, too.

    Code of the user's own that the config names is imported anew, since a notebook may have changed its files.

    Args:
        config_name: of the command: config, evaluate or analyze.
        overrides: as typed after it.
        config_dir: a folder with options of the user's own, as `--config-dir` names it.
        mode: MULTIRUN for the config of a whole sweep, with its `hydra` section.

    Raises:
        UserError: bad input.
        RunError: a run failed.
    """
    folder = None if config_dir is None else Path(config_dir).resolve()
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"config_dir={config_dir}: no such folder")
    search = [] if folder is None else [write_override("hydra.searchpath", [f"file://{folder}"])]
    errors = cli.clear_errors(config_name, [*search, *overrides])
    with one_at_a_time(), config_dir_told(folder), errors, _interruption_reworded():
        cli.quiet_libraries()
        cfg = _compose(config_name, [*search, *overrides], mode)
        check_tracking_uri(cfg.tracking.uri, "tracking.uri")
        if mode == RunMode.RUN:
            forget_own_code({str(value) for key, value in flatten(cfg).items() if key.endswith(".module") and value})
        yield cfg


def reword_way_on(told: str) -> str:
    """Let what a command says of how to go on after an interruption speak of a call."""
    return told.replace("the same command", "the same call")


@contextmanager
def _interruption_reworded() -> Iterator[None]:
    """Let an interruption of the block say how to go on in one note, as the command does in its line."""
    try:
        yield
    except KeyboardInterrupt as ending:
        # The last note is that of the outermost block.
        if notes := getattr(ending, "__notes__", []):
            ending.__notes__ = [reword_way_on(notes[-1])]
        raise


def _compose(config_name: str, overrides: list[str], mode: RunMode) -> DictConfig:
    """Compose a config, also where the notebook has initialized Hydra for itself."""
    theirs, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            if mode == RunMode.RUN:
                return compose(config_name, overrides)
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            return hydra.compose_config(config_name, overrides, run_mode=mode, from_shell=False)
    finally:
        GlobalHydra.instance().hydra = theirs


def check_tracking_uri(uri: str | None, key: str | None) -> None:
    """Refuse a tracking URI beside another one that the notebook has set: what it has set would win.

    Args:
        uri: None: none.
        key: what it was typed for; None: it is that of an earlier run.

    Raises:
        ConfigError: there is another one.
        TrackingError: it is no tracking URI.
    """
    given = os.environ.get(_URI_VARIABLE)
    if not uri or not given:
        return
    from mnist_flow.tracking.address import complete_uri

    if complete_uri(uri, key or "uri") == complete_uri(given, _URI_VARIABLE):
        return
    told = f"{key}={uri}: " if key else f"the run is tracked at {uri}, and "
    remedy = f"leave {key} out, or " if key else ""
    call = f"call mlflow.set_tracking_uri({hide_credentials(uri)!r})"
    raise ConfigError(f"{hide_credentials(told)}MLflow is set to {hide_credentials(given)} here; {remedy}{call}")


def complete_tracking_uri(uri: str | None) -> str:
    """The URI of the tracking server in force, whatever becomes of the working directory and MLflow's variable."""
    from mnist_flow.tracking.address import complete_uri

    return complete_uri(os.environ.get(_URI_VARIABLE) or uri, "uri")
