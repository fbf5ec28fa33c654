"""Signals that end a command, wherever they arrive."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from mnist_flow.errors import Terminated
from mnist_flow.runtime.signals import ENDING_SIGNALS, ending_signals_raise, signals_held


@pytest.fixture(autouse=True)
def default_handlers():
    """Whatever the process that started the tests ignores."""
    previous = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING_SIGNALS}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING_SIGNALS)
def test_a_signal_is_raised_once_and_the_handlers_are_as_before_afterwards(number):
    def work():
        try:
            os.kill(os.getpid(), number)
        finally:
            # What the run does at its end is not broken off.
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated) as raised, ending_signals_raise():
        work()
    assert raised.value.signal_number == number
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_so():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ending_signals_raise():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.usefixtures("ctrl_c_raises")
@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGTERM, Terminated), (signal.SIGHUP, Terminated), (signal.SIGINT, KeyboardInterrupt)],
)
def test_a_signal_that_arrives_in_a_finaliser_is_raised_where_the_program_goes_on(number, raised):
    class Finalised:
        def __del__(self):
            os.kill(os.getpid(), number)

    def work():
        one = Finalised()
        del one
        reached.append("after the finaliser")
        time.sleep(10)
        reached.append("the end")

    reached = []
    with pytest.raises(raised) as caught, ending_signals_raise():
        work()
    assert reached == ["after the finaliser"]
    # As which the command ends.
    assert getattr(caught.value, "signal_number", signal.SIGINT) == number


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_else_is_raised_in_a_finaliser_is_told_as_ever(monkeypatch):
    class Finalised:
        def __del__(self):
            raise ValueError("unheard")

    told = []
    monkeypatch.setattr("sys.unraisablehook", lambda ignored: told.append(str(ignored.exc_value)))
    with ending_signals_raise():
        one = Finalised()
        del one
    assert told == ["unheard"]


def test_nothing_changes_in_another_thread():
    handlers = []

    def work():
        with ending_signals_raise():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.SIG_DFL]


@pytest.mark.usefixtures("ctrl_c_raises")
@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_waits_for_the_end_of_what_must_not_be_broken_off_and_a_second_one_does_not(number, raised):
    reached = []

    def work(*, sent: int):
        with ending_signals_raise(), signals_held():
            for _ in range(sent):
                os.kill(os.getpid(), number)
            reached.append("the end of the block")
        reached.append("after the block")

    with pytest.raises(raised):
        work(sent=1)
    assert reached == ["the end of the block"]
    with pytest.raises(raised):
        work(sent=2)
    assert reached == ["the end of the block"]
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
