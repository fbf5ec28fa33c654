"""Where the command, Hydra's callback and Hydra's sweeper meet: all three need the sweep that is open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from mnist_flow.runtime.console import Console, hear_console
from mnist_flow.runtime.signals import signals_held

if TYPE_CHECKING:
    from mnist_flow.sweeps.search.search import Search
    from mnist_flow.sweeps.series import SweepSeries
    from mnist_flow.sweeps.sweep import Sweep
    from mnist_flow.tracking import TrackedRun


class Session:
    """What one command has open: at most one sweep.

    Hydra itself constructs the callback that opens a sweep and the sweeper that launches its jobs, and it calls neither
    of them any more after a job raised or the command was interrupted. So the command makes a session around Hydra's
    main function; the callback puts the sweep into it, the sweeper finds it there, and the command ends it.
    """

    def __init__(self, console: Console) -> None:
        # What the command has said.
        self.console = console
        # None before a sweep is opened, where nothing is left to do, and after its end.
        self.sweep: Sweep | SweepSeries | Search | None = None
        # The parent run that was opened last, which `opening` ends where its sweep does not come to be.
        self.parent: TrackedRun | None = None

    @contextmanager
    def opening(self) -> Iterator[None]:
        """End the parent run that is opened in the block, where an error or a signal breaks the block off."""
        self.parent = None
        try:
            yield
        except BaseException as error:
            if self.parent is not None:
                from mnist_flow.tracking import end_quietly

                with signals_held():
                    end_quietly(self.parent, "FAILED" if isinstance(error, Exception) else "KILLED", patience=0.0)
            raise

    def end_sweep(self, status: str) -> None:
        """End the sweep that is open, if any: FINISHED, FAILED or KILLED.

        Raises:
            UndeliveredError: the tracking server does not answer; the message says where the record is kept.
        """
        if self.sweep is not None:
            sweep, self.sweep = self.sweep, None
            sweep.end(status)


_session: ContextVar[Session] = ContextVar("session")


@contextmanager
def open_session() -> Iterator[Session]:
    """Make the session of a command, around its main function."""
    with hear_console() as console:
        session = Session(console)
        token = _session.set(session)
        try:
            yield session
        finally:
            _session.reset(token)


def get_session() -> Session:
    """Return the session of the command that is running.

    Raises:
        RuntimeError: there is none.
    """
    try:
        return _session.get()
    except LookupError as error:
        raise RuntimeError("a sweep needs a session: call Hydra's main function through mnist_flow.cli.run") from error
