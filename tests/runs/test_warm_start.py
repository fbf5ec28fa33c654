"""Runs that start from the weights of another run."""

from __future__ import annotations

import shutil

import mlflow
import numpy as np
import pytest

from mnist_flow import tracking
from mnist_flow.errors import ConfigError
from mnist_flow.runs import training
from mnist_flow.runs.observer import RunObserver
from mnist_flow.runs.orchestrator import run_experiment
from support import QUICK

TRAIN = ("-m", "mnist_flow.train")


@pytest.fixture
def started_from(monkeypatch):
    """The weights that each network has when its training begins."""
    weights = []
    train_model = training.train_model

    def note(model, *arguments, **options):
        weights.append(model.get_weights())
        return train_model(model, *arguments, **options)

    monkeypatch.setattr(training, "train_model", note)
    return weights


def test_a_run_starts_from_the_weights_of_another_and_says_so(store, search, compose_config, started_from, monkeypatch):
    # A run that is there is not looked for among the imported ones, which takes a question to the whole store.
    monkeypatch.delattr(tracking, "find_imported")
    batch_normalized = [*QUICK, "epochs=1", "model.batch_normalization=true"]
    run_experiment(compose_config(*batch_normalized))
    (first,) = search()
    last = tracking.load_model(tracking.fetch_logged_run(first.info.run_id)).get_weights()
    run_experiment(compose_config(*batch_normalized, f"training.warm_start={first.info.run_id}"))
    for given, found in zip(last, started_from[1], strict=True):
        np.testing.assert_array_equal(given, found)
    _, second = search()
    assert second.data.params["training.warm_start"] == first.info.run_id
    assert second.data.tags["mnist_flow.fingerprint"] != first.data.tags["mnist_flow.fingerprint"]
    assert "training.warm_start" not in first.data.params


def test_a_run_that_was_imported_is_started_from_by_the_id_that_it_had_before(store, search, compose_config):
    run_experiment(compose_config(*QUICK, "epochs=1"))
    (first,) = search()
    store.set_tag(first.info.run_id, "mnist_flow.origin", "ab" * 16)
    run_experiment(compose_config(*QUICK, "epochs=1", f"training.warm_start={'ab' * 16}"))
    assert search()[1].data.params["training.warm_start"] == "ab" * 16


def test_what_can_not_be_started_from_is_told_before_a_run_begins(store, search, compose_config):
    run_experiment(compose_config(*QUICK, "epochs=1"))
    run_experiment(compose_config(*QUICK, "epochs=1", "seed=1", "tracking.log_model=false"))
    first, without_model = (run.info.run_id for run in search())
    for run_id, overrides, message in (
        (
            first,
            ["model.hidden_units=[8]"],
            r"its network, mlp, has other weights: dense_1/kernel \(784, 16\) there, dense_1/kernel \(784, 8\) here;",
        ),
        (
            first,
            ["model.hidden_units=[16,10]"],
            "its network, mlp, has other weights: none there, probabilities/kernel \\(10, 10\\) here",
        ),
        (without_model, [], "has no logged model; train it again: python -m mnist_flow.rerun run_id="),
        ("0" * 32, [], "there is no such run at sqlite"),
    ):
        with pytest.raises(ConfigError, match=rf"^training\.warm_start={run_id}: {message}"):
            run_experiment(compose_config(*QUICK, *overrides, f"training.warm_start='{run_id}'"))
    assert len(search()) == 2


def test_a_model_that_is_gone_is_told_and_the_run_is_named_once(store, search, compose_config):
    run_experiment(compose_config(*QUICK, "epochs=1"))
    (first,) = search()
    (model,) = store.search_logged_models([first.info.experiment_id])
    shutil.rmtree(model.artifact_location.removeprefix("file://"))
    with pytest.raises(ConfigError) as told:
        run_experiment(compose_config(*QUICK, "epochs=1", f"training.warm_start='{first.info.run_id}'"))
    assert str(told.value).startswith(f"training.warm_start={first.info.run_id}: its model can't be ")
    assert len(search()) == 1


def test_a_sweep_is_refused_before_its_parent_is_open(tmp_path, run_command):
    nobody = f"training.warm_start='{'0' * 32}'"
    done = run_command(tmp_path, "-m", "mnist_flow.train", "-m", *QUICK, nobody, "seed=0,1")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: training.warm_start={'0' * 32}: there is no such run")
    assert len(done.stderr.splitlines()) == 1


class Interrupter(RunObserver):
    """Presses Ctrl-C at the end of the second epoch, when the first one's checkpoint is there."""

    def on_epoch(self, epoch, metrics):
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.fixture
def source(tmp_path, run_command):
    """The run that others start from: the override that says so, and what deletes its model."""
    assert run_command(tmp_path, *TRAIN, *QUICK, "epochs=1").returncode == 0
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("mnist_flow").experiment_id])
    delete = ("-m", "mnist_flow.runs", "action=delete_models", f"run_ids=[{run.info.run_id}]", "apply=true")
    return f"training.warm_start={run.info.run_id}", lambda: run_command(tmp_path, *delete).check_returncode()


def test_an_interrupted_run_goes_on_without_the_run_that_it_started_from(store, search, compose_config):
    run_experiment(compose_config(*QUICK, "epochs=1"))
    (first,) = search()
    config = compose_config(*QUICK, "epochs=3", f"training.warm_start={first.info.run_id}")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(config, Interrupter())
    store.delete_logged_model(first.outputs.model_outputs[0].model_id)
    run_experiment(config)
    _, second = search()
    assert second.info.status == "FINISHED"
    assert len(store.get_metric_history(second.info.run_id, "val_loss")) == 3


def test_a_finished_sweep_is_found_without_the_run_that_it_started_from(tmp_path, run_command, source):
    warm, delete = source
    sweep = (*TRAIN, "-m", *QUICK, warm, "epochs=1")
    assert run_command(tmp_path, *sweep, "seed=0,1").returncode == 0
    delete()
    again = run_command(tmp_path, *sweep, "seed=0,1")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("2 jobs: 2 skipped, 0 resumed, 0 new\n")
    longer = run_command(tmp_path, *sweep, "seed=0,1,2")
    assert longer.returncode == 2
    assert longer.stderr.startswith(f"error: {warm}: ")


def test_a_search_needs_its_source_for_new_trials_alone(tmp_path, run_command, source):
    warm, delete = source
    search = (
        *TRAIN,
        "-m",
        "hydra/sweeper=optuna",
        *QUICK,
        warm,
        "epochs=1",
        "optimizer.learning_rate=interval(0.01,0.1)",
    )
    assert run_command(tmp_path, *search, "hydra.sweeper.n_trials=1").returncode == 0
    delete()
    again = run_command(tmp_path, *search, "hydra.sweeper.n_trials=1")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("1 trial: 1 complete")
    other = run_command(tmp_path, *search, "seed=1")
    assert other.returncode == 2
    assert other.stderr.startswith(f"error: {warm}: ")
