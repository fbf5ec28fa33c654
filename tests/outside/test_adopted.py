"""MLFLOW_RUN_ID: the run that `mlflow run` created is filled, and no other run is ever written to."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from support import QUICK

MEASURE = ("measure=rotation", "measure.rotation.degrees=[0]")
# What `mlflow run` tags its run with.
OF_PROJECT = {"mlflow.source.type": "PROJECT", "mlflow.project.entryPoint": "main"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_command) -> Path:
    """A folder with a finished run."""
    folder = tmp_path_factory.mktemp("adopted")
    done = run_command(folder, "-m", "mnist_flow.train", *QUICK)
    assert done.returncode == 0, done.stderr
    return folder


def describe(client: mlflow.MlflowClient) -> dict[str, object]:
    """Everything that the store says of each run."""
    runs = client.search_runs(["1"], run_view_type=mlflow.entities.ViewType.ALL)
    return {run.info.run_id: run.to_dictionary() for run in runs}


def make_leftover(client: mlflow.MlflowClient, kind: str) -> str:
    """A run that a variable of the shell may still name; returns its id."""
    (finished,) = client.search_runs(["1"], "attributes.status = 'FINISHED' and tags.`mnist_flow.kind` = 'train'")[:1]
    if kind == "finished":
        return finished.info.run_id
    if kind == "unknown":
        return "0" * 32
    run_id = client.create_run("1", tags={} if kind == "another program's" else OF_PROJECT).info.run_id
    if kind == "killed":
        client.set_terminated(run_id, "KILLED")
    elif kind == "deleted":
        client.delete_run(run_id)
    elif kind == "measured":
        client.log_metric(run_id, "loss", 0.5)
    elif kind == "of a running sweep":
        client.set_tag(run_id, "mnist_flow.kind", "sweep")
    return run_id


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("finished", "this run was not made by `mlflow run`"),
        ("another program's", "this run was not made by `mlflow run`"),
        ("killed", "this run is KILLED"),
        ("deleted", "this run is deleted"),
        ("measured", "this run is written to already"),
        ("of a running sweep", "this run is written to already"),
        ("unknown", "not found"),
    ],
)
def test_a_run_that_a_leftover_variable_names_is_refused_and_stays_as_it_is(client, folder, run_command, kind, reason):
    leftover = make_leftover(client, kind)
    before = describe(client)
    done = run_command(folder, "-m", "mnist_flow.train", *QUICK, "seed=1", "reg=0.01", MLFLOW_RUN_ID=leftover)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert reason in line
    if kind != "unknown":
        assert line.startswith(f"error: MLFLOW_RUN_ID={leftover}: ")
        assert line.endswith("leave the variable out: unset MLFLOW_RUN_ID")
    assert describe(client) == before


@pytest.mark.parametrize(
    "command",
    [
        ("train", "-m", *QUICK, "seed=1,2"),
        # All its jobs are done.
        ("train", "-m", *QUICK, "seed=0"),
        ("evaluate", *MEASURE),
        ("analyze", "study=curves", "tracking.experiment_name=mnist_flow"),
        ("reproduce", "plan=true", "overrides=['data=digits']", "output_dir=out"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_no_command_writes_to_a_finished_run(client, folder, run_command, command):
    leftover = make_leftover(client, "finished")
    before = describe(client)
    done = run_command(folder, "-m", f"mnist_flow.{command[0]}", *command[1:], MLFLOW_RUN_ID=leftover)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: MLFLOW_RUN_ID={leftover}: this run was not made by `mlflow run`")
    assert describe(client) == before


def test_a_variable_that_is_empty_counts_as_none(client, folder, run_command):
    before = len(describe(client))
    done = run_command(folder, "-m", "mnist_flow.train", *QUICK, "seed=3", MLFLOW_RUN_ID="")
    assert done.returncode == 0, done.stderr
    assert len(describe(client)) == before + 1


def test_an_evaluation_leaves_its_summary_in_the_fresh_run_of_mlflow_and_measures_in_runs_of_their_own(
    client, folder, run_command
):
    adopted = make_leftover(client, "fresh")
    done = run_command(
        folder, "-m", "mnist_flow.evaluate", *MEASURE, "filter='params.seed = \"0\"'", MLFLOW_RUN_ID=adopted
    )
    assert done.returncode == 0, done.stderr
    run = client.get_run(adopted)
    assert run.data.tags["mnist_flow.kind"] == "evaluation"
    # MLflow ends it itself.
    assert (run.info.status, run.data.metrics, run.data.params) == ("RUNNING", {}, {})
    (measured,) = client.search_runs(["1"], "tags.`mnist_flow.measure` = 'rotation'")
    mlflow.set_experiment(experiment_id="1")
    summary = mlflow.load_table("evaluation/summary.json", run_ids=[adopted])
    assert list(summary) == [
        "run",
        "run_id",
        "seed",
        "measure",
        "mean accuracy",
        "worst accuracy",
        "evaluation",
        "state",
    ]
    (row,) = summary.to_dict("records")
    trained = client.get_run(measured.data.tags["mnist_flow.measured_run"])
    assert (row["evaluation"], row["run_id"]) == (measured.info.run_id, trained.info.run_id)
    assert (row["run"], row["seed"], row["measure"], row["state"]) == (trained.info.run_name, 0, "rotation", "measured")
    assert row["mean accuracy"] == pytest.approx(measured.data.metrics["rotation_mean_accuracy"])
    client.delete_run(adopted)


@pytest.mark.parametrize("command", [("evaluate", *MEASURE), ("analyze", "study=curves", "output_dir=out")])
def test_a_typed_experiment_is_asked_for_its_runs_wherever_mlflow_has_created_its_own(
    client, folder, run_command, command
):
    adopted = client.create_run("0", tags=OF_PROJECT).info.run_id
    variables = {"MLFLOW_RUN_ID": adopted, "MLFLOW_EXPERIMENT_ID": "0"}
    begun = ("-m", f"mnist_flow.{command[0]}", *command[1:])
    done = run_command(folder, *begun, "tracking.experiment_name=mnist_flow", **variables)
    assert done.returncode == 0, done.stderr
    assert "wins over" not in done.stderr
    adopted = client.create_run("0", tags=OF_PROJECT).info.run_id
    other = run_command(folder, *begun, **variables | {"MLFLOW_RUN_ID": adopted})
    assert other.returncode == 2
    assert "no finished runs" in other.stderr


def test_a_fresh_run_of_mlflow_is_filled_once(client, folder, run_command):
    adopted = make_leftover(client, "fresh")
    before = len(describe(client))
    done = run_command(folder, "-m", "mnist_flow.train", *QUICK, "seed=4", MLFLOW_RUN_ID=adopted)
    assert done.returncode == 0, done.stderr
    run = client.get_run(adopted)
    assert (run.info.status, run.data.params["seed"]) == ("FINISHED", "4")
    again = run_command(folder, "-m", "mnist_flow.train", *QUICK, "seed=5", MLFLOW_RUN_ID=adopted)
    assert again.returncode == 2
    assert "this run is FINISHED" in again.stderr
    assert len(describe(client)) == before
