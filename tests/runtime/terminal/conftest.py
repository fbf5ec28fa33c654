"""What rich takes for a terminal, and what was printed."""

import re

import pytest


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    """No variable of the shell that runs the tests decides what rich takes for a terminal."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "JUPYTER_COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def terminal(monkeypatch):
    """Rich takes the captured output for a terminal of 160 columns."""
    for name, value in {"TTY_COMPATIBLE": "1", "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "160"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def read_lines(capsys):
    """Return a function that returns what was printed since its last call, as lines without escape sequences.

    A bar that is drawn again begins a new line.
    """

    def read():
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
        return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]

    return read
