"""What the process of a trial tells the search."""

from __future__ import annotations

import math
from multiprocessing import Pipe

import pytest
from omegaconf import OmegaConf

from mnist_flow.errors import BusyError, ConfigError, PrunedError, RunError
from mnist_flow.sweeps.search import worker
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


@pytest.fixture
def work(monkeypatch):
    """A run's end → what the job of a trial returns and all that it asks of the search, which answers each by this."""
    monkeypatch.setattr(worker, "_POLL_SECONDS", 0)
    told = []
    monkeypatch.setattr(worker, "_tell_hydra", told.append)
    assignment = Assignment(3, ("reg=1",), {"model": "mlp"}, {"seed": 1}, {"trial": "3"}, "val_loss")

    def run(*ends, answers=()):
        asked, given, left = [], iter([assignment, *answers]), iter(ends)

        class Search:
            def send(self, request):
                asked.append(request)

            def recv(self):
                return next(given, None)

        def train(config, observer):
            assert (dict(config), observer.tags) == ({"seed": 1}, {"trial": "3"})
            end = next(left)
            if isinstance(end, Exception):
                raise end
            return end(observer) if callable(end) else end

        monkeypatch.setattr(worker, "run_experiment", train)
        result = worker._run_assignment(Search())
        assert told.pop() == assignment
        return result, asked[1:]

    return run


def test_a_trial_that_is_trained_returns_its_objective(work):
    assert work(0.5) == (0.5, [("complete",)])
    assert work([0.5, 3.0]) == ([0.5, 3.0], [("complete",)])


def test_a_run_of_another_process_is_waited_for(work):
    assert work(BusyError("it runs"), BusyError("it runs"), 0.5) == (0.5, [("complete",)])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PrunedError(2, "hopeless"), ("pruned", "hopeless")),
        (ConfigError("reg=-1: wrong"), ("failed", "reg=-1: wrong")),
        (RunError("diverged"), ("failed", "diverged")),
        (MemoryError("no room\nat all"), ("failed", "MemoryError: no room")),
    ],
)
def test_a_trial_that_ends_otherwise_says_why_and_has_no_value(work, error, told):
    result, asked = work(error)
    assert math.isnan(result)
    assert asked == [told]


def test_epochs_and_results_are_judged_by_the_search(work):
    def end(observer):
        observer.on_epoch(1, {"val_loss": 0.25, "loss": 9})
        observer.on_result(1, (0.5,), is_last=False)
        observer.on_result(2, (0.75,), is_last=True)

    result, asked = work(end, answers=(None, None, "enough"))
    assert math.isnan(result)
    assert asked == [
        ("epoch", 1, 0.25),
        ("result", 1, [0.5], False),
        ("result", 2, [0.75], True),
        ("pruned", "enough"),
    ]
    result, asked = work(lambda observer: observer.on_epoch(4, {"val_loss": 1.5}), answers=("worse than the median",))
    assert asked == [("epoch", 4, 1.5), ("pruned", "worse than the median")]


def test_a_run_of_a_trial_has_its_overrides_and_options_in_the_config_of_hydra(monkeypatch):
    hydra = OmegaConf.create({"overrides": {"task": ["reg=0,1"]}, "runtime": {"choices": {"model": "cnn"}}})
    OmegaConf.set_struct(hydra, True)
    OmegaConf.set_readonly(hydra, True)
    monkeypatch.setattr(worker.HydraConfig, "get", lambda: hydra)
    worker._tell_hydra(Assignment(3, ("reg=1",), {"model": "mlp", "noise": None}, {}, {}, None))
    assert hydra == {"overrides": {"task": ["reg=1"]}, "runtime": {"choices": {"model": "mlp", "noise": None}}}
    assert OmegaConf.is_readonly(hydra)
