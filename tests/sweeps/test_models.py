"""Which models a sweep keeps, and which one it registers."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest

from commands import start_command
from mnist_flow import tracking
from mnist_flow.errors import ConfigError, RunError, TrackingError
from mnist_flow.runs.orchestrator import run_experiment
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
