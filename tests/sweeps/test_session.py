"""A parent run whose sweep does not come to be is ended."""

from __future__ import annotations

import pytest

from mnist_flow.errors import Aborted, RunError
from mnist_flow.sweeps import opening
from mnist_flow.sweeps.callback import SweepCallback
from mnist_flow.sweeps.request import read_requests
from mnist_flow.sweeps.search import opening as search_opening
from mnist_flow.sweeps.series import SweepSeries

SEARCH = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=1", "reg=interval(0,1)")


@pytest.fixture
def statuses(store):
    return lambda: [run.info.status for run in store.search_runs(["1"], "tags.`mnist_flow.kind` = 'sweep'")]


def raise_error(error):
    def call(*arguments, **options):
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "raised", "status"),
    [(OSError("no socket is left"), Aborted, "FAILED"), (KeyboardInterrupt(), KeyboardInterrupt, "KILLED")],
    ids=["failed", "killed"],
)
@pytest.mark.parametrize("kind", ["grid", "search"])
def test_a_sweep_that_breaks_off_while_it_is_opened_is_ended(
    compose_sweep, statuses, monkeypatch, error, raised, status, kind
):
    module, name, typed = (
        (opening, "hand_over", ["reg=0,1"]) if kind == "grid" else (search_opening, "TrialServer", SEARCH)
    )
    monkeypatch.setattr(module, name, raise_error(error))
    with pytest.raises(raised):
        SweepCallback().on_multirun_start(compose_sweep(*typed))
    assert statuses() == [status]


def test_each_sweep_of_a_series_that_breaks_off_while_it_is_opened_is_ended(compose_sweep, statuses, monkeypatch):
    monkeypatch.setattr(opening, "hand_over", raise_error(RunError("the server is gone")))
    config = compose_sweep("experiment=mlp_100,mlp_64_64", "seed=0", "resume=false")
    series = SweepSeries(config, read_requests(config))
    with pytest.raises(RunError, match=r"experiment=mlp_100: the server is gone; experiment=mlp_64_64: the server"):
        series.run(raise_error(AssertionError("nothing is launched")))
    assert statuses() == ["FAILED"] * 2
