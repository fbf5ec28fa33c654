"""What the process of a trial tells the search."""

from __future__ import annotations

import math
from multiprocessing import Pipe

import pytest

from mnist_flow.errors import RunError
from mnist_flow.sweeps.search.messages import ADDRESS_VARIABLE, Assignment, TrialServer
from mnist_flow.sweeps.search.worker import _TrialObserver, run_trial
from support import find_free_port


class Answerer:
    """Answers each request by the same, or is lost with it."""

    def __init__(self, answer):
        self._answer = answer

    def answer(self, *request):
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def lose(self):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Start the server of a search with this answer."""
    servers = []

    def start(answer):
        servers.append(TrialServer(lambda: Answerer(answer), everywhere=False))
        for name, value in servers[-1].list_variables().items():
            monkeypatch.setenv(name, value)

    yield start
    for server in servers:
        server.close()


def test_a_job_for_which_no_trial_is_left_ends_without_a_value(serve):
    serve(None)
    assert math.isnan(run_trial())


def test_a_job_whose_search_is_gone_says_how_to_go_on(serve):
    serve(EOFError())
    with pytest.raises(RunError, match=r"^the search's main process is gone; the same command resumes it$"):
        run_trial()


def test_a_job_whose_search_does_not_answer_says_how_to_go_on(serve, monkeypatch):
    serve(None)
    monkeypatch.setenv(ADDRESS_VARIABLE, f"127.0.0.1:{find_free_port()}")
    with pytest.raises(RunError, match=r"^the search's main process does not answer \(.*\); the same command"):
        run_trial()


def test_a_run_that_was_finished_before_is_told_from_a_new_one():
    connection, search = Pipe()
    observer = _TrialObserver(connection, Assignment(0, (), {}, {}, {"trial": "0"}, None))
    search.send(None)
    observer.on_found("before")
    search.send(None)
    observer.on_start("new")
    assert [search.recv(), search.recv()] == [("run", "before", True), ("run", "new", False)]
    assert observer.tags == {"trial": "0"}
