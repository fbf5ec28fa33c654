"""What the process of a trial tells the search."""

from __future__ import annotations

from multiprocessing import Pipe

from mnist_flow.sweeps.search.messages import Assignment
from mnist_flow.sweeps.search.worker import _TrialObserver


def test_a_run_that_was_finished_before_is_told_from_a_new_one():
    connection, search = Pipe()
    observer = _TrialObserver(connection, Assignment(0, (), {}, {}, {"trial": "0"}, None))
    search.send(None)
    observer.on_found("before")
    search.send(None)
    observer.on_start("new")
    assert [search.recv(), search.recv()] == [("run", "before", True), ("run", "new", False)]
    assert observer.tags == {"trial": "0"}
