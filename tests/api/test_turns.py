"""Calls from several threads at once, and from forked processes."""

from __future__ import annotations

import multiprocessing
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

import mnist_flow
from mnist_flow.api.turns import one_at_a_time
from mnist_flow.errors import ConfigError
from mnist_flow.training import devices

TINY = "data=digits model=mlp 'model.hidden_units=[16]' epochs=1"
NUMBERS = ("loss", "val_loss", "val_accuracy", "test_loss", "test_accuracy")


def test_networks_trained_from_threads_have_the_same_numbers_as_alone(store, monkeypatch):
    at_once, reset_keras = threading.Barrier(3), devices.reset_keras

    def reset_and_wait(*arguments):
        reset_keras(*arguments)
        with suppress(threading.BrokenBarrierError):
            at_once.wait(timeout=1)

    def train(seed, place):
        made = mnist_flow.train(f"{TINY} seed={seed} tracking.experiment_name={place}")
        history = made.fetch_history()
        return {**{name: made.metrics.get(name) for name in NUMBERS}, "loss": history["loss"].iloc[-1]}

    alone = [train(seed, "alone") for seed in range(3)]
    # Were they to work at once, all three would seed Keras before the first of them builds its network.
    monkeypatch.setattr(devices, "reset_keras", reset_and_wait)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(train, range(3), ["threads"] * 3)) == alone
    assert len(mnist_flow.runs("threads")) == 3


def test_a_run_is_looked_at_in_its_store_while_another_thread_trains_elsewhere(store, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    here, there = (f"sqlite:///{tmp_path / name}.db" for name in ("here", "there"))
    made = mnist_flow.train(f"{TINY} tracking.uri={here}")
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(mnist_flow.train, f"{TINY} tracking.uri={there}")
        while not other.done():
            assert mnist_flow.run(made.run_id, uri=here).fetch_history().equals(made.fetch_history())
    assert other.result().uri == there
    assert list(mnist_flow.runs(uri=there)["run_id"]) == [other.result().run_id]


def call_in_fork(function, *arguments):
    """Call a function in a process that is forked while another thread of this one is in a call."""
    is_in, may_leave = threading.Event(), threading.Event()

    def take_a_turn():
        with one_at_a_time():
            is_in.set()
            may_leave.wait()

    with ThreadPoolExecutor(1) as threads:
        threads.submit(take_a_turn)
        is_in.wait()
        try:
            with multiprocessing.get_context("fork").Pool(1) as pool:
                return pool.apply_async(function, arguments).get(timeout=20)
        finally:
            may_leave.set()


def count_runs():
    return len(mnist_flow.runs())


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_a_process_forked_from_one_that_has_used_tensorflow_trains_and_predicts_nothing(store):
    made = mnist_flow.train(TINY)
    told = (
        "this process was forked from one that has used TensorFlow, which hangs in it; call mnist_flow.sweep, or "
        "start processes by the method spawn"
    )
    for call, *overrides in (
        (mnist_flow.train, f"{TINY} seed=1"),
        (mnist_flow.evaluate, "measure=rotation"),
        (made.load_model,),
        (made.predict,),
    ):
        with pytest.raises(ConfigError, match=f"^{re.escape(told)}$"):
            call_in_fork(call, *overrides)
    assert call_in_fork(count_runs) == 1
    assert len(store.search_runs(["1"])) == 1


def test_a_process_forked_from_one_that_has_only_imported_tensorflow_trains(run_command, tmp_path):
    program = f"""
import multiprocessing, keras, tensorflow, mnist_flow
with multiprocessing.get_context("fork").Pool(1) as pool:
    print("state:", pool.apply_async(mnist_flow.train, [{TINY!r}]).get(timeout=60).state)
"""
    done = run_command(tmp_path, "-c", program)
    assert "state: finished" in done.stdout, done.stderr
