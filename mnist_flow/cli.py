"""The command line's edge: errors as one clear line, exit statuses, signals.

Exit status: 0 done, 1 the run failed, 2 bad input, 130 Ctrl-C, 143 SIGTERM. HYDRA_FULL_ERROR=1 shows every traceback.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from mnist_flow import CONF_DIR
from mnist_flow.credentials import hide_credentials
from mnist_flow.errors import RunFailed, Terminated, UserError

_FULL_ERROR = "HYDRA_FULL_ERROR"

# Libraries chat on a terminal that belongs to the progress bar; whoever wants to hear them sets the variables.
_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def run(main: Callable[[], object], config_name: str = "config") -> NoReturn:
    """Call a Hydra main function and exit with a true status and, for a user's error, one line.

    Args:
        main: the function decorated with `hydra.main`.
        config_name: its config, to look for the key or option that was meant.
    """
    full_error = os.environ.get(_FULL_ERROR) == "1"
    # Hydra prints errors its own way, with status 1, unless this is set; then they arrive here.
    os.environ[_FULL_ERROR] = "1"
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    status, sweep_status = 0, "FAILED"
    try:
        with sigterm_raises():
            main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        status, sweep_status = 130, "KILLED"
        _print_error("interrupted")
    except Terminated:
        status, sweep_status = 143, "KILLED"
        _print_error("terminated")
    except (UserError, HydraException, OmegaConfBaseException) as error:
        status = 2
        if full_error:
            traceback.print_exc()
        _print_error(_describe(error, config_name))
    except RunFailed as error:
        status = 1
        if full_error:
            traceback.print_exc()
        _print_error(str(error))
    except Exception:
        status = 1
        sys.stderr.write(hide_credentials(traceback.format_exc()))
    _end_open_sweep(sweep_status)
    sys.exit(status)


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM raises Terminated in the block, so that the run in it can end truthfully. Only in a main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_terminated(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated()

    previous = signal.signal(signal.SIGTERM, raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _end_open_sweep(status: str) -> None:
    # A sweep that never began has not imported the module.
    if sweep := sys.modules.get("mnist_flow.sweep"):
        try:
            sweep.end_open_sweep(status)
        except UserError as error:
            _print_error(str(error))


def _print_error(message: str) -> None:
    print(f"error: {hide_credentials(message)}", file=sys.stderr)


def _describe(error: Exception, config_name: str) -> str:
    """One line for an error of the user, Hydra's and OmegaConf's included."""
    if isinstance(error, UserError):
        return str(error)
    text = str(error)
    if unknown := re.search(r"Key '([^']+)' is not in struct\s+full_key: (\S+)", f"{text}\n{error.__cause__ or ''}"):
        return _describe_unknown_key(unknown[2], config_name)
    if isinstance(error, MissingConfigException) and (option := re.search(r"'([^']+)/([^'/]+)'", text)):
        return _describe_unknown_option(option[1], option[2])
    if "In-struct" in text or "Could not override" in text:
        key = re.search(r"Could not override '([^']+)'", text)
        if key:
            return _describe_unknown_key(key[1], config_name)
    if launcher := re.search(r"Unknown plugin class|hydra_joblib_launcher|No module named 'hydra_plugins", text):
        del launcher
        return "hydra/launcher=local_pool needs joblib's launcher: pip install 'mnist-flow[parallel]'"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _describe_unknown_key(key: str, config_name: str) -> str:
    from hydra import compose, initialize_config_dir

    from mnist_flow.config import flatten
    from mnist_flow.suggestions import did_you_mean

    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        known = flatten(compose(config_name))
    return f"{key}: unknown key{did_you_mean(key, known) or '; --help lists every key'}"


def _describe_unknown_option(group: str, option: str) -> str:
    from pathlib import Path

    from mnist_flow.suggestions import did_you_mean

    choices = sorted(path.stem for path in Path(CONF_DIR, group).glob("*.yaml"))
    return f"{group}={option}: no such option{did_you_mean(option, choices)} Choices: {' '.join(choices)}"
