"""Which models a sweep keeps, and which one it registers."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.entities import LoggedModelOutput

from commands import start_command
from mnist_flow import tracking
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError, RunError, TrackingError
from mnist_flow.runs.orchestrator import run_experiment
from mnist_flow.runs.registration import check_registration
from mnist_flow.sweeps.models import choose_best_run, settle_models
from support import QUICK, wait_until

SWEEP = ("-m", "mnist_flow.train", "-m", *QUICK, "optimizer.learning_rate=0.1,0.0001")


@pytest.mark.slow
@pytest.mark.launchers
def test_a_sweep_keeps_and_registers_its_best_model_and_counts_the_others_as_finished(store, tmp_path, run_command):
    asked = ("tracking.keep_models=best", "tracking.register=digits")
    done = run_command(tmp_path, *SWEEP, *asked)
    assert done.returncode == 0, done.stderr
    assert "registered as models:/digits@best, version 1\n" in done.stdout
    runs = store.search_runs(["1"], "tags.`mnist_flow.kind` = 'train'", order_by=["metrics.val_accuracy DESC"])
    best, other = (run.info.run_id for run in runs)
    assert f"tracking.keep_models=best: kept the model of run {best}, deleted 1\n" in done.stdout
    (model,) = store.search_logged_models(["1"])
    assert model.source_run_id == best
    assert [path.parent.name for path in Path("mlruns").rglob("MLmodel")] == ["artifacts"]
    # It is served by its name.
    served = mlflow.pyfunc.load_model("models:/digits@best")
    example = mlflow.models.Model.load(f"runs:/{best}/model").load_input_example()
    predicted = np.load(store.download_artifacts(best, "predictions/test.npz"))["probabilities"]
    np.testing.assert_allclose(served.predict(example), predicted[: len(example)], atol=1e-6)
    # A resume knows all runs, and a measure says whose model is gone.
    assert "2 jobs: 2 skipped" in run_command(tmp_path, *SWEEP, *asked).stdout
    assert len(store.search_model_versions("name = 'digits'")) == 1
    measured = run_command(tmp_path, "-m", "mnist_flow.evaluate", "measure=shift", "measure.shift.max_pixels=1")
    assert f"run {other}: its model was not kept (tracking.keep_models=best)" in measured.stderr
    assert best in measured.stdout
    # The alias leads to that run; another sweep is told so before it begins.
    refused = run_command(tmp_path, *SWEEP, *asked, "seed=1")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"its alias best is version 1, of run {best}; tracking.move_alias=true moves it" in refused.stderr


@pytest.mark.slow
@pytest.mark.launchers
def test_a_sweep_that_grows_is_told_before_it_trains_and_a_registry_that_refuses_later_is_made_up_for(
    store, tmp_path, run_command
):
    asked = ("tracking.keep_models=best", "tracking.register=digits")
    other = store.create_run("0").info.run_id
    with (tmp_path / "printed.txt").open("w") as stdout, (tmp_path / "errors.txt").open("w") as stderr:
        command = start_command(tmp_path, *SWEEP, *asked, stdout=stdout, stderr=stderr)
    # Another run takes the alias while the sweep trains.
    wait_until(lambda: store.get_experiment_by_name("mnist_flow") and store.search_runs(["1"]))
    store.create_registered_model("digits")
    store.create_model_version("digits", str(tmp_path), other)
    store.set_registered_model_alias("digits", "best", "1")
    assert command.wait(120) == 1
    (line,) = (tmp_path / "errors.txt").read_text().splitlines()
    assert f"is not registered: tracking.register=digits: its alias best is version 1, of run {other}" in line
    assert "its runs are kept; the same command again makes up for this" in line
    (parent,) = store.search_runs(["1"], "tags.`mnist_flow.kind` = 'sweep'")
    assert parent.info.status == "FINISHED"
    # What is not kept is deleted in any case.
    (model,) = store.search_logged_models(["1"])
    again = run_command(tmp_path, *SWEEP, *asked, "tracking.move_alias=true")
    assert again.returncode == 0, again.stderr
    assert "registered as models:/digits@best, version 2\n" in again.stdout
    assert store.get_model_version_by_alias("digits", "best").run_id == model.source_run_id
    # Which will be the best of more jobs nobody knows.
    grown = run_command(tmp_path, *SWEEP[:-1], "optimizer.learning_rate=0.1,0.0001,0.01", *asked)
    assert (grown.returncode, grown.stderr.count("\n")) == (2, 1)
    assert "its alias best is version 2" in grown.stderr
    assert len(store.search_runs(["1"])) == 3


def test_a_run_is_registered_once_and_its_alias_moves_only_when_that_is_asked_for(store, compose_config, capsys):
    asked = (*QUICK, "tracking.register=digits", "tracking.alias=live")
    run_experiment(compose_config(*asked))
    run_experiment(compose_config(*asked))
    assert capsys.readouterr().out.count("registered as models:/digits@live, version 1\n") == 2
    with pytest.raises(TrackingError, match=r"register=digits: its alias live is version 1, of run \w+; .*move_alias"):
        run_experiment(compose_config(*asked, "seed=1"))
    assert len(store.search_runs(["1"])) == 1
    run_experiment(compose_config(*asked, "seed=1", "tracking.move_alias=true"))
    assert store.get_registered_model("digits").aliases == {"live": 2}
    assert store.get_model_version_by_alias("digits", "live").run_id in {
        run.info.run_id for run in store.search_runs(["1"], "params.seed = '1'")
    }


def test_a_model_may_have_a_name_with_quotes_and_is_registered_once(store):
    run = store.create_run("0")
    model = store.create_logged_model("0", "model", run.info.run_id)
    store.finalize_logged_model(model.model_id, "READY")
    store.log_outputs(run.info.run_id, models=[LoggedModelOutput(model.model_id, step=0)])
    for name in ("Ada's", 'Ada\'s "best"'):
        registration = tracking.Registration(name, "best", move_alias=False)
        assert [registration.register(run.info.run_id) for _ in range(2)] == ["1", "1"]
        assert store.get_registered_model(name).aliases == {"best": 1}


def test_what_can_not_be_registered_is_told_before_anything_is_started(store, compose_config, monkeypatch):
    for wrong, line in (
        (("tracking.register=digits", "tracking.log_model=false"), "there is no model with tracking.log_model=false"),
        (("tracking.register=digits", "tracking.keep_models=none"), "no model with tracking.keep_models=none"),
        (("tracking.register=a/b",), "tracking.register=a/b"),
        (("tracking.alias=v2",), "tracking.alias=v2"),
    ):
        with pytest.raises(ConfigError, match=line):
            run_experiment(compose_config(*QUICK, *wrong))
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "ftp://nowhere")
    with pytest.raises(TrackingError, match=r"register=digits: .* has no registry .*; leave it out"):
        run_experiment(compose_config(*QUICK, "tracking.register=digits"))
    monkeypatch.delenv("MLFLOW_REGISTRY_URI")
    # A registry that is there and refuses is told with its own reason.
    with pytest.raises(TrackingError, match=r"register=a/b: sqlite:\S+ refuses: .*a/b"):
        tracking.Registration("a/b", "best", move_alias=False).check([])
    assert store.get_experiment_by_name("mnist_flow") is None or not store.search_runs(["1"])


def test_a_run_whose_registration_fails_stays_finished(store, compose_config, monkeypatch):
    def refuse(self, run_id):
        raise TrackingError("the registry is full")

    monkeypatch.setattr(tracking.Registration, "register", refuse)
    with pytest.raises(RunError, match=r"run \w+ is finished, but the registry is full"):
        run_experiment(compose_config(*QUICK, "tracking.register=digits"))
    (run,) = store.search_runs(["1"])
    assert run.info.status == "FINISHED"


# Of runs that are logged without a training


def make_past(run_id, state, **metrics):
    return tracking.PastRun(run_id, state, "", "", "", "", "", "", 0, 0.0, metrics, {})


def test_the_best_run_is_the_first_finished_one_with_the_best_objective():
    runs = [
        make_past("a", "finished", selected_val_accuracy=0.8, selected_val_loss=0.4, selected_epoch=1),
        make_past("b", "finished", selected_val_accuracy=0.9, selected_val_loss=0.5, selected_epoch=1),
        make_past("c", "finished", selected_val_accuracy=0.9, selected_val_loss=0.4, selected_epoch=1),
        make_past("d", "interrupted", selected_val_accuracy=1.0, selected_val_loss=0.1, selected_epoch=1),
        make_past("e", "finished"),
    ]
    assert choose_best_run(runs, "val_accuracy") == "b"
    assert choose_best_run(runs, "val_loss") == "a"
    assert choose_best_run(runs[3:], "val_accuracy") is None


@pytest.fixture
def settle(store, tmp_path, compose_config):
    """Log the children of a sweep, each with a model but the last, and settle their models; what is left, by names."""
    experiment_id = store.create_experiment("x")
    parent = store.create_run(experiment_id, tags={"mnist_flow.kind": "sweep"}).info.run_id
    (tmp_path / "weights").write_bytes(b"0")
    names = {}
    for end, name in ((2000, "best"), (3000, "last"), (1000, "first"), (4000, "without"), (5000, "killed")):
        tags = {"mnist_flow.kind": "train", "mnist_flow.fingerprint": name, "mlflow.parentRunId": parent}
        run_id = store.create_run(experiment_id, start_time=1, tags=tags).info.run_id
        names[run_id] = name
        if name != "without":
            model = store.create_logged_model(experiment_id, "model", run_id)
            store.log_model_artifact(model.model_id, str(tmp_path / "weights"))
            store.finalize_logged_model(model.model_id, "READY")
            store.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
        store.set_terminated(run_id, "KILLED" if name == "killed" else "FINISHED", end)
    (best,) = [run_id for run_id, name in names.items() if name == "best"]

    def call(*overrides, parent_run_id=parent, best=best):
        config = validate_config(compose_config("data=digits", *overrides), TrainConfig).tracking
        trouble = settle_models(config, experiment_id, parent_run_id, best)
        return trouble, [names[model.source_run_id] for model in store.search_logged_models([experiment_id])]

    call.best = best
    return call


def test_of_a_sweep_the_model_of_the_best_run_or_of_the_last_one_is_kept(settle, capsys):
    every = ["best", "first", "killed", "last"]
    for kept in ("all", "none"):
        trouble, left = settle(f"tracking.keep_models={kept}")
        assert (trouble, sorted(left)) == ("", every)
    # What no sweep is the parent of is not deleted, and without a best run nothing is.
    assert sorted(settle("tracking.keep_models=best", parent_run_id=None)[1]) == every
    assert sorted(settle("tracking.keep_models=best", best=None)[1]) == every
    assert capsys.readouterr().out == ""
    trouble, left = settle("tracking.keep_models=best")
    # The run that was killed may be resumed.
    assert (trouble, sorted(left)) == ("", ["best", "killed"])
    assert capsys.readouterr().out == f"tracking.keep_models=best: kept the model of run {settle.best}, deleted 2\n"
    assert sorted(settle("tracking.keep_models=best")[1]) == ["best", "killed"]
    assert capsys.readouterr().out == ""


def test_the_last_model_is_that_of_the_run_that_ended_last(settle):
    assert sorted(settle("tracking.keep_models=last")[1]) == ["killed", "last"]


def test_a_registered_model_is_kept_and_registered_by_the_sweep(settle, capsys):
    trouble, left = settle("tracking.register=digits", "tracking.keep_models=best")
    assert (trouble, sorted(left)) == ("", ["best", "killed"])
    assert capsys.readouterr().out.startswith("registered as models:/digits@best, version 1\n")
    # Another best may not take its alias, and neither model is deleted.
    trouble, _ = settle("tracking.register=digits", best="0" * 32)
    assert trouble.startswith(f"run {'0' * 32}, its best, is not registered: ")
    assert trouble.endswith(" (the sweep is finished, and its runs are kept; the same command again makes up for this)")


def test_a_sweep_is_told_before_it_begins_that_its_alias_is_taken(settle, compose_config):
    settle("tracking.register=digits")
    config = validate_config(compose_config("data=digits", "tracking.register=digits"), TrainConfig).tracking
    check_registration(config, [settle.best])
    with pytest.raises(TrackingError, match=r"register=digits: its alias best is version 1, of run"):
        check_registration(config, [])
