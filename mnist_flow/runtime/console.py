"""Remembers what a process says on standard output and error, as a person reads it, without terminal codes."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from mnist_flow.runtime.credentials import HidingStream, hide_credentials

# Lines that are remembered: the first ones, and the last ones.
_FIRST, _LAST = 1_000, 10_000


class Console:
    """What was said, line by line; of a line that was written over, as progress bars are, what stands there at last."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=_LAST)
        self._n_left_out = 0
        # What follows the last line feed.
        self._rest = ""
        # A signal's handler may write while the thread that it interrupts does.
        self._lock = threading.RLock()

    def hear(self, text: str) -> None:
        """Remember a text that was written, a part of a line or many lines."""
        with self._lock:
            *lines, rest = (self._rest + text).split("\n")
            # A bar draws itself many times a second.
            begin = rest.rstrip("\r").rfind("\r")
            self._rest = rest[max(begin, 0) :]
            for line in lines:
                if len(self._first) < _FIRST:
                    self._first.append(line)
                else:
                    self._n_left_out += len(self._last) == _LAST
                    self._last.append(line)

    def read(self) -> str:
        """All that was said, cleared of terminal codes and credentials."""
        # Imported here: `--help` needs no rich.
        from rich.ansi import AnsiDecoder

        with self._lock:
            left_out = [f"… {self._n_left_out} lines left out …"] if self._n_left_out else []
            lines = [*self._first, *left_out, *self._last, *([self._rest] if self._rest else [])]
        decoder = AnsiDecoder()
        plain = (decoder.decode_line(line.rstrip("\r")).plain.rstrip() for line in lines)
        return hide_credentials("".join(f"{line}\n" for line in plain))

    def forget(self) -> None:
        """Forget what was said so far."""
        with self._lock:
            self._first, self._n_left_out, self._rest = [], 0, ""
            self._last.clear()


class _HeardStream(HidingStream):
    def __init__(self, stream: TextIO, console: Console) -> None:
        super().__init__(stream)
        self._console = console

    def write(self, text: str) -> int:
        self._console.hear(text)
        return super().write(text)


@contextmanager
def hear_console() -> Iterator[Console]:
    """Within the block, remember what this process writes with Python's streams and log handlers; blocks may nest."""
    console = Console()
    before = sys.stdout, sys.stderr
    heard = _HeardStream(sys.stdout, console), _HeardStream(sys.stderr, console)
    sys.stdout, sys.stderr = heard
    _move_handlers(before, heard)
    try:
        yield console
    finally:
        # Unless somebody else has put another there.
        if sys.stdout is heard[0]:
            sys.stdout = before[0]
        if sys.stderr is heard[1]:
            sys.stderr = before[1]
        _move_handlers(heard, before)


def _move_handlers(old: tuple[object, ...], new: tuple[object, ...]) -> None:
    """Let log handlers write to other streams; each holds the one that was there when logging was configured."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            for one, other in zip(old, new, strict=True):
                if handler.stream is one:
                    handler.setStream(other)
                    break
