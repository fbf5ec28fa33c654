"""Which models a sweep keeps, and which one it registers."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest

from mnist_flow import tracking
from mnist_flow.errors import ConfigError, RunError, TrackingError
from mnist_flow.runs.orchestrator import run_experiment
from support import QUICK

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
    with pytest.raises(TrackingError, match=r"register=digits: .* has no registry that takes it .*; leave it out"):
        run_experiment(compose_config(*QUICK, "tracking.register=digits"))
    assert store.get_experiment_by_name("mnist_flow") is None or not store.search_runs(["1"])


def test_a_run_whose_registration_fails_stays_finished(store, compose_config, monkeypatch):
    def refuse(self, run_id):
        raise TrackingError("the registry is full")

    monkeypatch.setattr(tracking.Registration, "register", refuse)
    with pytest.raises(RunError, match=r"run \w+ is finished, but the registry is full"):
        run_experiment(compose_config(*QUICK, "tracking.register=digits"))
    (run,) = store.search_runs(["1"])
    assert run.info.status == "FINISHED"
