"""Calls from several threads at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import mnist_flow
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
