"""`mlflow run`, with the environment of the tests."""

from __future__ import annotations

import os
import shutil

import mlflow
import pytest

from mnist_flow.errors import ConfigError
from mnist_flow.runs.orchestrator import run_experiment
from mnist_flow.runtime.project import prefer_typed_experiment, to_hydra_arguments
from support import PROJECT_DIR, QUICK


@pytest.mark.parametrize(("is_typed", "run_id"), [(True, "1"), (False, "1"), (True, ""), (False, "")])
def test_a_typed_experiment_wins_over_that_of_the_run_which_mlflow_created(monkeypatch, is_typed, run_id):
    given = {"MLFLOW_EXPERIMENT_ID": "7", "MLFLOW_EXPERIMENT_NAME": "x"}
    for name, value in {**given, "MLFLOW_RUN_ID": run_id}.items():
        monkeypatch.setenv(name, value)
    prefer_typed_experiment(is_typed)
    left = {name: os.environ[name] for name in given if name in os.environ}
    assert left == ({} if is_typed and run_id else given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([""], []),
        (["model=lenet5 reg=1e-5"], ["model=lenet5", "reg=1e-5"]),
        (["--multirun", "reg=1e-6,1e-5"], ["--multirun", "reg=1e-6,1e-5"]),
        (["model=mlp 'model.hidden_units=[200, 100]'"], ["model=mlp", "model.hidden_units=[200, 100]"]),
        (["", "--reg", "1e-5", "--seed", "3"], ["reg=1e-5", "seed=3"]),
        (["--help"], ["--help"]),
        (["--cfg job", "--seed", "3"], ["--cfg", "job", "seed=3"]),
        (
            ["--multirun", "--config-dir 'my options' model=mine"],
            ["--multirun", "--config-dir", "my options", "model=mine"],
        ),
    ],
)
def test_arguments_become_overrides(given, expected):
    assert to_hydra_arguments(given) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["", "--override", "data=digits seed=1"],
            "override=data=digits seed=1: MLproject has no such parameter; did you mean 'overrides'? If so, type -P "
            "'overrides=data=digits seed=1'",
        ),
        (["--multirun", "model='mlp", "--seed", "3"], "overrides=model='mlp: No closing quotation; close the quote"),
    ],
)
def test_what_no_command_can_take_is_told_with_its_remedy(given, message):
    with pytest.raises(ConfigError) as raised:
        to_hydra_arguments(given)
    assert str(raised.value) == message


@pytest.fixture
def project(tmp_path):
    """A copy of the project, so that the store of `mlflow run .` is not the developer's."""
    for name in ("conf", "mnist_flow"):
        shutil.copytree(PROJECT_DIR / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("MLproject", "conda.yaml", "requirements.txt"):
        shutil.copy(PROJECT_DIR / name, tmp_path)
    yield tmp_path
    mlflow.set_tracking_uri(None)


def mlflow_run(run_command, project, *arguments):
    done = run_command(
        project, "-m", "mlflow", "run", ".", "--env-manager=local", "--experiment-name", "by_mlflow", *arguments
    )
    assert done.returncode == 0, done.stderr
    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    return mlflow.search_runs(search_all_experiments=True), done


@pytest.mark.slow
@pytest.mark.launchers
def test_one_job_is_the_run_that_mlflow_created(project, run_command):
    overrides = " ".join(QUICK).replace("model.hidden_units=[16]", "'model.hidden_units=[20, 10]'")
    runs, done = mlflow_run(run_command, project, "-P", f"overrides={overrides}", "-P", "reg=1e-5")
    assert len(runs) == 1
    assert runs["run_id"][0] in done.stderr
    assert runs["status"][0] == "FINISHED"
    assert runs["params.model.hidden_units"][0] == "[20, 10]"
    assert runs["params.reg"][0] == "1e-5"
    assert runs["metrics.test_accuracy"][0] > 0.3
    assert mlflow.get_experiment(runs["experiment_id"][0]).name == "by_mlflow"


@pytest.mark.slow
def test_a_sweep_and_its_analysis(project, run_command):
    overrides = f"{' '.join(QUICK)} reg=1e-5,1e-4 hydra/launcher=local_pool"
    runs, _ = mlflow_run(run_command, project, "-e", "sweep", "-P", f"overrides={overrides}")
    assert len(runs) == 3
    assert runs["experiment_id"].nunique() == 1
    (parent,) = runs.loc[runs["tags.mnist_flow.kind"] == "sweep", "run_id"]
    assert list(runs["tags.mlflow.parentRunId"].dropna()) == [parent, parent]

    runs, done = mlflow_run(
        run_command, project, "-e", "analyze", "-P", "overrides=tracking.experiment_name=by_mlflow output_dir=out"
    )
    assert "2 runs of experiment 'by_mlflow'" in done.stdout
    assert {path.suffix for path in (project / "out").iterdir()} == {".png", ".svg", ".csv"}
    (analysis,) = runs.loc[runs["tags.mnist_flow.kind"] == "analysis", "run_id"]
    for run_id in (parent, analysis):
        folder = "analysis/regularization-by_mlflow"
        names = [entry.path for entry in mlflow.MlflowClient().list_artifacts(run_id, folder)]
        assert f"{folder}/regularization-by_mlflow.png" in names


# `mlflow run` and the command that it calls may take minutes on a busy machine.
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_evaluation_leaves_its_summary_in_the_run_that_mlflow_created(
    project, run_command, compose_config, monkeypatch
):
    monkeypatch.chdir(project)
    # MLflow keeps the connections of a URI: a relative one may be another test's file.
    store = f"tracking.uri='sqlite:///{project / 'mlflow.db'}'"
    run_experiment(compose_config(*QUICK, "epochs=1", store, "tracking.experiment_name=by_mlflow"))
    measure = "measure=rotation measure.rotation.degrees=[0]"
    runs, done = mlflow_run(
        run_command, project, "-e", "evaluate", "-P", f"overrides={measure} tracking.experiment_name=by_mlflow"
    )
    assert "1 evaluation: 0 done before, 1 to measure" in done.stdout
    assert set(runs["status"]) == {"FINISHED"}
    evaluations = runs[runs["tags.mnist_flow.kind"] == "evaluation"]
    (adopted,) = evaluations.loc[evaluations["tags.mnist_flow.measure"].isna(), "run_id"]
    (measured,) = evaluations.loc[evaluations["tags.mnist_flow.measure"] == "rotation", "run_id"]
    table = mlflow.artifacts.load_dict(f"runs:/{adopted}/evaluation/summary.json")
    assert [dict(zip(table["columns"], row, strict=True))["evaluation"] for row in table["data"]] == [measured]
