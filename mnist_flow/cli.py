"""The command line's edge: errors as one clear line, exit statuses, signals.

Exit status: 0 done, 1 the run failed, 2 bad input, 129 SIGHUP (the terminal is gone), 130 Ctrl-C, 131 SIGQUIT,
143 SIGTERM. HYDRA_FULL_ERROR=1 shows every traceback.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import packages_distributions
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mnist_flow import CONF_DIR
from mnist_flow.config.mistakes import NO_OPTION, describe_mistake, describe_unreadable
from mnist_flow.errors import Aborted, ConfigError, RunError, Terminated, UserError
from mnist_flow.runtime.garbage import collect_rarely
from mnist_flow.runtime.interpreter import check_interpreter, describe_broken_library, settle_libraries
from mnist_flow.runtime.memory import describe_lack
from mnist_flow.runtime.own_code import locate_mistake
from mnist_flow.runtime.signals import ENDING_SIGNALS, ending_signals_raise
from mnist_flow.runtime.streams import protect_streams
from mnist_flow.sweeps.session import Session, open_session
from mnist_flow.sweeps.workers import at_work

_BAD_INPUT = (UserError, HydraException, OmegaConfBaseException)

# Start of the message of the ConnectionError that Ray raises where the cluster that it is to join is not there.
_NO_CLUSTER = "Could not find any running Ray instance"

_FULL_ERROR = "HYDRA_FULL_ERROR"
_USERS_FULL_ERROR = "MNIST_FLOW_FULL_ERROR"

# Hydra's options that a value follows.
_WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp")

# Libraries write to the terminal, which belongs to the progress bar; a user who wants to read that sets the variables.
_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # GitPython prints a page where git is not installed.
    "GIT_PYTHON_REFRESH": "quiet",
    # The links that MLflow prints hold the credentials of the tracking URI.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def run(main: Callable[[], object], config_name: str = "config") -> NoReturn:
    """Call a Hydra main function, and exit with a true status and, after an error of the user, one line.

    Args:
        main: the function decorated with `hydra.main`.
        config_name: name of its config, in which a key that was misspelt is looked for.
    """
    collect_rarely()
    full_error = (os.environ.get(_USERS_FULL_ERROR) or os.environ.get(_FULL_ERROR)) == "1"
    # With this variable Hydra raises errors; otherwise it prints them in its own way and exits with status 1.
    os.environ[_FULL_ERROR] = "1"
    # So that a command which this one starts knows what the user has set.
    os.environ[_USERS_FULL_ERROR] = "1" if full_error else "0"
    quiet_libraries()
    settle_libraries()
    # Hydra warns because conf/hydra/launcher/ray.yaml replaces the plugin's own option of that name, as it is meant to.
    warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/ray' is validated against", category=UserWarning)
    protect_streams()
    _put_options_first()
    _share_config_store()
    _share_with_group()
    with open_session() as session:
        status, sweep_status = _call(main, config_name, full_error)
        _end_open_sweep(session, sweep_status)
    sys.exit(status)


def quiet_libraries() -> None:
    """Let libraries that are imported from now on write nothing to the terminal but what the user has asked for."""
    for name, value in _QUIET.items():
        os.environ[name] = os.environ.get(name) or value
    # In a notebook MLflow's progress bars want a package that nothing else needs.
    warnings.filterwarnings("ignore", message="IProgress not found")


@contextmanager
def clear_errors(config_name: str, arguments: Sequence[str]) -> Iterator[None]:
    """Around what a notebook asks for: an error of the user becomes a UserError or RunError with the command's line.

    Args:
        config_name: see `run`.
        arguments: what was typed.
    """
    try:
        yield
    except Exception as raised:
        error = _tell_mistake(raised)
        if not isinstance(error, (UserError, RunError)) and _is_bad_input(error):
            remedy = "call mnist_flow.sweep" if config_name == "config" else "make a call for each"
            error = ConfigError(_describe(error, config_name, arguments, remedy))
        if error is raised and not isinstance(error, (UserError, RunError)):
            raise
        # A notebook would print hundreds of lines of the libraries' before the one that tells what is wrong.
        raise error from (raised if os.environ.get(_FULL_ERROR) == "1" and error is not raised else None)


def _call(main: Callable[[], object], config_name: str, full_error: bool) -> tuple[int, str]:
    """Call the main function and print its error, if any.

    Returns:
        The exit status of the command, and the status of a sweep that it leaves open.
    """
    try:
        check_interpreter()
        with ending_signals_raise():
            main()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1, "FAILED"
    except (KeyboardInterrupt, Terminated) as ending:
        number = ending.signal_number if isinstance(ending, Terminated) else signal.SIGINT
        # The last note says how to go on.
        _print_error("; ".join([ENDING_SIGNALS.get(number, "interrupted"), *getattr(ending, "__notes__", [])[-1:]]))
        return 128 + number, "KILLED"
    except (Exception, Aborted) as raised:
        error = _tell_mistake(raised.__cause__ or raised if isinstance(raised, Aborted) else raised)
        status = 2 if _is_bad_input(error) else 1
        known = status == 2 or isinstance(error, RunError)
        if full_error or not known:
            traceback.print_exc()
        if known:
            # The notes say where it was found, such as the entry of a file of jobs.
            notes = "; ".join(getattr(error, "__notes__", []))
            _print_error(_describe(error, config_name, sys.argv[1:]) + (f" ({notes})" if notes else ""))
        return status, "FAILED"
    return 0, "FAILED"


def _is_bad_input(error: BaseException | None) -> bool:
    text = str(error)
    return isinstance(error, _BAD_INPUT) or _NO_CLUSTER in text or NO_OPTION in text or bool(_find_no_folder(error))


def _find_no_folder(error: BaseException | None) -> str | None:
    """The override of a folder of Hydra's that it could not make, if that is the error."""
    # In a sweep the launcher breaks down because of it.
    error = error.__cause__ if isinstance(error, RunError) else error
    failed = str(error.filename) if isinstance(error, OSError) and error.filename else ""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        keys: tuple[str, ...] = ("hydra.run.dir=", "hydra.sweep.subdir=")
        return next((one for one in sys.argv[1:] if one.startswith(keys)), None)
    typed = [one for one in sys.argv[1:] if one.startswith(("hydra.run.dir=", "hydra.sweep.dir="))]
    return next((one for one in typed if failed and one.partition("=")[2].startswith(failed)), None)


def _find_hiding_file() -> Path | None:
    """A file of the working directory with the name of a library, such as keras.py: Python looks for modules there."""
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        if file.parent == Path.cwd() and name in {*sys.stdlib_module_names, *packages_distributions()}:
            return file
    return None


def _share_config_store() -> None:
    """Let all copies of Hydra's store of plugin configs share its content, which nothing changes.

    Hydra copies the store for each config that it composes and for each config group that it lists, which takes half
    of the processor time of `--help`.
    """
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]


def _share_with_group() -> None:
    """Let a group that may write the working directory write what is made there, too, such as MLflow's folders."""
    if Path.cwd().stat().st_mode & stat.S_IWGRP:
        os.umask(os.umask(0) & ~stat.S_IWGRP)


def _put_options_first() -> None:
    """Let -m and --config-dir stand anywhere on the command line, also between and behind overrides.

    Argparse takes no overrides after an option that follows some.
    """
    options: list[str] = []
    others: list[str] = []
    arguments = iter(sys.argv[1:])
    for argument in arguments:
        if argument in _WITH_VALUE:
            options += [argument, *islice(arguments, 1)]
        elif argument in ("-m", "--multirun") or argument.startswith(tuple(f"{name}=" for name in _WITH_VALUE)):
            options.append(argument)
        else:
            others.append(argument)
    sys.argv[1:] = options + others


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[..., Any]]:
    """Make a function the main function of a command, as `hydra.main` does, which a notebook may call as well.

    There the arguments of the process are the kernel's own; they are left out, and a line says so.
    """

    def decorate(function: Callable[[DictConfig], Any]) -> Callable[..., Any]:
        enter = hydra.main(version_base="1.3", config_path=CONF_DIR, config_name=config_name)(function)

        @wraps(function)
        def main(cfg: DictConfig | None = None) -> Any:
            if cfg is None and "kernel_launcher" in Path(sys.argv[0]).name:
                print(f"left out, because they are the notebook's own: {' '.join(sys.argv[1:])}", file=sys.stderr)
                sys.argv[1:] = []
            return enter(cfg)

        return main

    return decorate


@contextmanager
def job() -> Iterator[None]:
    """Around the work of one job, in whatever process it runs: signals end it truthfully, and errors reach `run`.

    Whatever `hydra.job.chdir` says, the job works where the command was typed: there is one store, and one folder for
    all that a relative path names.
    """
    if HydraConfig.initialized() and HydraConfig.get().job.chdir:
        os.chdir(HydraConfig.get().runtime.cwd)
    try:
        with at_work(), ending_signals_raise():
            yield
    except Exception as raised:
        error = _tell_mistake(raised)
        if not isinstance(error, (*_BAD_INPUT, RunError)):
            raise
        # In a sweep Hydra says which job failed and goes on with the others.
        if not HydraConfig.initialized() or HydraConfig.get().mode == RunMode.MULTIRUN:
            if error is raised:
                raise
            raise error from raised
        raise Aborted from error


def _tell_mistake(error: BaseException) -> BaseException:
    """Turn an error of the user's own files, of memory, or of a library's import into one that a line tells.

    Others stay as they are.
    """
    if isinstance(error, (*_BAD_INPUT, RunError)):
        return error
    told: Exception
    if unreadable := describe_unreadable(error):
        told = ConfigError(unreadable)
    elif mistake := describe_lack(error) or locate_mistake(error):
        told = RunError(f"{mistake} ({_FULL_ERROR}=1 shows the traceback)")
    elif hiding := _find_hiding_file():
        told = ConfigError(f"{hiding} is imported in place of the package of that name; rename it")
    elif broken := describe_broken_library(error):
        told = ConfigError(f"{broken} ({_FULL_ERROR}=1 shows the traceback)")
    else:
        return error
    told.__cause__ = error
    return told


def _end_open_sweep(session: Session, status: str) -> None:
    """End the sweep that Hydra has left open after an error or an interruption, if any."""
    if session.sweep is None:
        return
    # A second Ctrl-C, or the hang-up of a terminal that follows, must not leave the parent run open.
    for number in (signal.SIGINT, *ENDING_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    try:
        session.end_sweep(status)
    except (UserError, RunError) as error:
        _print_error(str(error))


def _print_error(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


def _describe(error: BaseException | None, config_name: str, arguments: Sequence[str], remedy: str = "add -m") -> str:
    """Describe an error of the user, who typed these arguments, in one line; Hydra's and OmegaConf's included.

    The remedy is that of several values where one is wanted.
    """
    text = str(error)
    if _NO_CLUSTER in text:
        remedies = "RAY_ADDRESS=HOST:PORT, or hydra.launcher.ray.init.address=local"
        return f"hydra/launcher=ray: no cluster is found; set {remedies}"
    if folder := _find_no_folder(error):
        return f"{folder}: is no folder, and can't be made one; choose another"
    if isinstance(error, (UserError, RunError)):
        return text
    return describe_mistake(error, config_name, arguments, remedy)
