"""What the interpreter and the libraries need, whatever a shell, an editor or a notebook has set for other programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mnist_flow.errors import ConfigError

_PROJECT_DIR = Path(__file__).resolve().parent.parent


def check_interpreter() -> None:
    """Refuse options of Python with which the libraries can't be imported.

    Raises:
        ConfigError: docstrings are left out, or each warning is an error.
    """
    if sys.flags.optimize >= 2:
        raise ConfigError(
            "PYTHONOPTIMIZE=2, or python -OO: Keras and MLflow read the docstrings that it leaves out; leave it out"
        )
    if any(option.startswith("error") and ":" not in option for option in sys.warnoptions):
        raise ConfigError(
            "PYTHONWARNINGS=error, or python -W error: libraries warn of their own future, which would end every "
            "command; leave it out, or name the module: error:::my_package"
        )


def settle_libraries() -> None:
    """Overrule variables with which libraries can't be imported and which mean nothing to these commands.

    Jupyter tells all that it starts to draw into the notebook, also where this environment has no package for that;
    older packages wanted an implementation of Protocol Buffers that there is no more.
    """
    os.environ["MPLBACKEND"] = "agg"
    if os.environ.get("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION") not in (None, "python", "upb"):
        del os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"]


def describe_broken_library(error: BaseException | None) -> str | None:
    """Describe an error that a library raised while it was imported; None where it came from elsewhere.

    A variable of the environment that it can't read may be the cause, or packages that do not fit each other.
    """
    imported = None
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        code = trace.tb_frame.f_code
        if _PROJECT_DIR in Path(code.co_filename).parents:
            imported = None
        elif imported is None and code.co_name == "<module>":
            imported = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0] or None
        trace = trace.tb_next
    if imported is None:
        return None
    # NumPy writes a page, and what is wrong at its end.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (
        f"{imported} can't be imported: {type(error).__name__}: {lines[-1] if lines else 'for no reason given'}; unset "
        "the variable that it names, if any, or install the project's packages again"
    )
