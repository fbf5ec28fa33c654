"""A sweep that a notebook has started: its processes, what it shows, its tables, and its errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import mnist_flow
from mnist_flow.api import sweeping
from mnist_flow.api.turns import one_at_a_time
from mnist_flow.errors import UserError

GRID = "data=digits model=mlp 'model.hidden_units=[8]' epochs=1 seed=0,1 tracking.experiment_name=notebook"


def test_bad_input_is_an_error_before_anything_is_started(store, tmp_path):
    with pytest.raises(UserError, match=r"^epochs=x: must be a valid integer$"):
        mnist_flow.sweep("data=digits epochs=x,1")
    assert mnist_flow.runs().empty


@pytest.mark.parametrize(
    ("typed", "added"), [("seed=0,1", ["hydra/launcher=local_pool"]), ("seed=0,1 hydra/launcher=basic", [])]
)
def test_a_sweep_is_trained_by_a_pool_unless_another_launcher_is_typed(store, monkeypatch, tmp_path, typed, added):
    asked = []
    monkeypatch.setattr(sweeping, "_run_command", lambda words: (asked.extend(words), iter(()))[1])
    assert mnist_flow.sweep(typed, config_dir=tmp_path).run_id is None
    assert asked == ["--config-dir", str(tmp_path), *typed.split(), *added]


@pytest.mark.slow
@pytest.mark.launchers
def test_a_sweep_is_trained_in_processes_and_gives_its_tables(store, capsys):
    made = mnist_flow.sweep(GRID)
    parent = store.get_run(made.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["workers"] == 2
    assert f"/runs/{made.run_id}?" in made.link
    assert list(made.tables["summary"]["seed"]) == [0, 1]
    assert list(made.tables["replicates"]["n"]) == [2]
    assert "[2/2 done, 0 running, 0 failed]" in capsys.readouterr().out
    assert mnist_flow.sweep(GRID).run_id == made.run_id
    # A part of it has no parent run of its own.
    assert mnist_flow.sweep(f"{GRID} seed=1").tables == {}


def test_the_bar_tells_what_failed_and_the_lines_are_there_as_text(monkeypatch):
    shown = []
    handle = SimpleNamespace(update=lambda data, raw: shown.append(data if raw else None))
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: handle)
    display = sweeping._JupyterDisplay()
    for line in (
        "reg=0  FINISHED  [1/4 done, 2 running, 0 failed, 0:00:09 left]",
        "reg=<1>  FAILED  [1/4 done, 1 running, 1 failed]",
    ):
        display.show(line)
    assert "<progress value=1 max=4></progress> 1 of 4 done<pre" in shown[0]["text/html"]
    assert "<progress value=1 max=4></progress> 1 of 4 done, 1 failed<pre" in shown[1]["text/html"]
    assert "reg=&lt;1&gt;  FAILED" in shown[1]["text/html"]
    assert shown[1]["text/plain"].splitlines()[1].startswith("reg=<1>  FAILED")


def test_an_interrupted_sweep_shows_the_last_lines_of_its_command_and_says_how_to_go_on(monkeypatch, tmp_path):
    command = tmp_path / "command"
    command.write_text("""#!/bin/sh
trap 'echo "seed=0  KILLED"; echo "error: interrupted; the same command goes on with what is missing"; exit 130' INT
echo $$
while :; do sleep 0.05; done
""")
    command.chmod(0o755)
    shown = []

    def show(line):
        shown.append(line)
        if line.isdigit():
            os.kill(int(line), signal.SIGINT)
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "executable", str(command))
    monkeypatch.setattr(sweeping, "_choose_display", lambda: show)
    with pytest.raises(KeyboardInterrupt) as raised:
        sweeping._run_command([])
    assert shown[1:] == ["seed=0  KILLED"]
    assert raised.value.__notes__ == ["interrupted; the same call goes on with what is missing"]


def test_the_store_that_another_thread_asks_for_a_moment_is_not_that_of_a_sweep(monkeypatch):
    started_with = []

    def start(command, env, **options):
        started_with.append(env)
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "Popen", start)
    with ThreadPoolExecutor(1) as pool:
        with one_at_a_time(), monkeypatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
            begun = pool.submit(sweeping._run_command, [])
            time.sleep(0.2)
        with pytest.raises(FileNotFoundError):
            begun.result()
    assert started_with[0]["PATH"] == os.environ["PATH"]
    assert "MLFLOW_TRACKING_URI" not in started_with[0]


@pytest.mark.slow
@pytest.mark.launchers
def test_sweeps_of_two_threads_are_trained_side_by_side(store, monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    uris = [f"sqlite:///{tmp_path / name}.db" for name in ("one", "other")]
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda uri: mnist_flow.sweep(f"{GRID} tracking.uri={uri}"), uris))
    for uri, sweep in zip(uris, made, strict=True):
        assert list(sweep.tables["summary"]["run_id"]) == list(mnist_flow.runs(uri=uri).sort_values("seed")["run_id"])


@pytest.mark.slow
@pytest.mark.launchers
def test_a_search_gives_its_trials_and_its_confirmation(store):
    rates = "'optimizer.learning_rate=tag(log,interval(0.01,1))'"
    searched = mnist_flow.sweep(
        f"data=digits model=mlp 'model.hidden_units=[8]' epochs=1 {rates} tracking.experiment_name=searched "
        "hydra/sweeper=optuna hydra.sweeper.n_trials=3 hydra.sweeper.confirm=1 hydra.sweeper.confirm_seeds=2"
    )
    assert list(searched.tables["trials"]["state"]) == ["complete"] * 3
    assert list(searched.tables["confirmation"]["n"]) == [2]
    assert "space" in searched.tables
