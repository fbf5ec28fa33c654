"""Signals that end a command, so that whatever it has begun ends truthfully."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mnist_flow.errors import Terminated

# Signals, and what the command says. Windows has neither SIGHUP nor SIGQUIT.
ENDING_SIGNALS = {
    number: told
    for name, told in (("SIGTERM", "terminated"), ("SIGHUP", "the terminal is gone"), ("SIGQUIT", "quit"))
    if (number := getattr(signal, name, None)) is not None
}

# Seconds after which a signal that was lost is sent again.
_AGAIN_AFTER = 0.1


@contextmanager
def ending_signals_raise() -> Iterator[None]:
    """Raise Terminated when a signal arrives in the block that ends the command, so that the run in it ends truthfully.

    One that is ignored stays so: `nohup` lets a command go on without its terminal. Nothing changes outside the main
    thread, where Python allows no signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    has_raised = False

    def raise_terminated(number: int, frame: FrameType | None) -> None:
        # Once: a terminal that is closed may send several, and the run is ending.
        nonlocal has_raised
        if not has_raised:
            has_raised = True
            raise Terminated(number)

    def send_again(ignored: sys.UnraisableHookArgs) -> None:
        # Python drops what is raised in a finaliser or a callback, where the signal may arrive as well.
        nonlocal has_raised
        if isinstance(ignored.exc_value, KeyboardInterrupt):
            lost = int(signal.SIGINT)
        elif isinstance(ignored.exc_value, Terminated):
            has_raised = False
            lost = ignored.exc_value.signal_number
        else:
            hook(ignored)
            return
        threading.Timer(_AGAIN_AFTER, os.kill, (os.getpid(), lost)).start()

    heard = [number for number in ENDING_SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    previous = {number: signal.signal(number, raise_terminated) for number in heard}
    hook, sys.unraisablehook = sys.unraisablehook, send_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def way_on_told(told: str = "the same command goes on with what is missing", *, holds: bool = True) -> Iterator[None]:
    """Let an interruption of the block say how to go on, where that holds; the outermost block says it."""
    try:
        yield
    except (KeyboardInterrupt, Terminated) as ending:
        if holds:
            ending.add_note(told)
        raise


@contextmanager
def signals_held() -> Iterator[None]:
    """Let the first signal that would break off the block wait for its end; a second one is not held.

    For what must not be left half done, such as a run that the server has made and whose name is not known here yet.
    Outside the main thread, where Python runs no signal handlers, nothing is held.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if waiting:
            restore()
            os.kill(os.getpid(), number)
        waiting.append(number)

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    heard = [one for one in (signal.SIGINT, *ENDING_SIGNALS) if callable(signal.getsignal(one))]
    previous = {number: signal.signal(number, hold) for number in heard}
    try:
        yield
    finally:
        restore()
        if waiting:
            os.kill(os.getpid(), waiting[0])
