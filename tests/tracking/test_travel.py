"""Runs that go from one store to another by a folder."""

from __future__ import annotations

import json
import re
import shutil

import mlflow
import pytest

from commands import start_command
from mnist_flow import tracking
from mnist_flow.errors import ConfigError, RunError, TrackingError, UserError
from mnist_flow.runs.orchestrator import run_experiment
from mnist_flow.runs.upkeep import look_after_runs
from mnist_flow.tracking import importing
from support import PROCESS_ELSEWHERE, QUICK, wait_until

pytestmark = pytest.mark.usefixtures("output")

# Tags that an import adds.
ADDED = {"mnist_flow.origin"}


@pytest.fixture
def call(compose_config, capsys, monkeypatch):
    """Run the command in process; returns what it printed."""

    def call_command(*overrides):
        # MLflow sets it with the store in force, and it would win over tracking.uri.
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        look_after_runs(compose_config(*overrides, config_name="runs"))
        return capsys.readouterr().out

    return call_command


@pytest.fixture
def ids(store, tmp_path):
    """Ids of a sweep, its trained job, and an evaluation of that job's model; none of them was trained."""
    experiment_id = tracking.get_or_create_experiment("x")
    made, parent = {}, None
    for kind in ("sweep", "train", "evaluation"):
        tags = {"mnist_flow.kind": kind, "mnist_flow.fingerprint": f"f {kind}", "mnist_flow.process": PROCESS_ELSEWHERE}
        tags |= {"mlflow.parentRunId": parent, "mnist_flow.measured_run": parent} if parent else {}
        # What the params keep as it was typed, the name keeps as well.
        name = f"training.warm_start={parent}" if parent else "a sweep"
        run_id = store.create_run(experiment_id, 1_000_000, tags, name).info.run_id
        store.set_tag(run_id, "mlflow.note.content", f"Repeat it: `python -m mnist_flow.rerun run_id={run_id}`")
        made[kind] = parent = run_id
        run = tracking.TrackedRun(run_id, experiment_id, tracking.DeliveryOptions(0, tmp_path / "undelivered"))
        run.log_params({"model.name": "mlp", "seed": 3})
        for epoch in (1, 2):
            run.log_epoch(epoch, {"loss": 1 / epoch})
        run.log_artifacts(texts={"notes/text.txt": f"of the {kind}"})
        if kind == "train":
            model = store.create_logged_model(experiment_id, "model", run_id, params={"seed": "3"})
            mlflow.models.Model().save(str(tmp_path / "MLmodel"))
            store.log_model_artifact(model.model_id, str(tmp_path / "MLmodel"))
            store.log_outputs(run_id, [mlflow.entities.LoggedModelOutput(model.model_id, 0)])
            store.finalize_logged_model(model.model_id, "READY")
            run.log_metrics({"test_loss": 0.25}, model_id=model.model_id)
        if kind == "evaluation":
            run.link_model(model.model_id)
            run.log_metrics({"shifted": float("nan"), "accuracy": 0.5}, model_id=model.model_id)
        run.end("KILLED" if kind == "sweep" else "FINISHED")
    return made


def describe(client, run_id, ids):
    """All that a run consists of, with names in place of ids."""
    names = {run_id: name for name, run_id in ids.items()}
    run = client.get_run(run_id)
    tags = {
        key: re.sub(r"[0-9a-f]{32}", lambda found: names.get(found[0], found[0]), text)
        for key, text in run.data.tags.items()
        if key not in (*ADDED, "mlflow.runName")
    }
    points = [
        (point.key, str(point.value), point.timestamp, point.step)
        for name in run.data.metrics
        for point in client.get_metric_history(run_id, name)
    ]
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    info = run.info
    return {
        "info": [info.run_name, info.status, info.start_time, info.end_time],
        "experiment": client.get_experiment(info.experiment_id).name,
        "params": run.data.params,
        "tags": tags,
        "points": sorted(points),
        "text": mlflow.artifacts.load_text(f"{info.artifact_uri}/notes/text.txt"),
        "models": [
            (model.name, model.params, model.status, {(one.key, names.get(one.run_id)) for one in model.metrics})
            for model in models
        ],
        "inputs": len(run.inputs.model_inputs),
        "outputs": len(run.outputs.model_outputs),
    }


def switch_store(new_store, folder):
    """A further empty store, in force from now on."""
    folder.mkdir()
    shutil.copy(new_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    return uri, mlflow.MlflowClient(uri)


def test_runs_arrive_whole_once_and_with_their_parents(store, ids, call, new_store, tmp_path, monkeypatch):
    # The child alone takes what is above and below along.
    assert "exported to out: 3 runs" in call("action=export", "folder=out", f"run_ids=[{ids['train']}]")
    before = {name: describe(store, run_id, ids) for name, run_id in ids.items()}
    monkeypatch.chdir(tmp_path)
    uri, other = switch_store(new_store, tmp_path / "there")
    arguments = ("action=import", "folder=out", f"tracking.uri={uri}")
    assert call(*arguments) == f"imported into {uri}: 3 runs; there already: 0\n"
    found = other.search_runs([other.get_experiment_by_name("x").experiment_id])
    arrived = {run.data.tags["mnist_flow.kind"]: run.info.run_id for run in found}
    assert not set(arrived.values()) & set(ids.values())
    assert {name: describe(other, run_id, arrived) for name, run_id in arrived.items()} == before
    assert {name: other.get_run(run_id).data.tags["mnist_flow.origin"] for name, run_id in arrived.items()} == ids
    assert call(*arguments) == f"imported into {uri}: 0 runs; there already: 3\n"
    # Back where they came from they are known, too, also by way of the other store.
    call("action=export", "folder=back", f"tracking.uri={uri}", "tracking.experiment_name=x")
    assert "0 runs; there already: 3" in call("action=import", "folder=back", f"tracking.uri={store.tracking_uri}")


def test_how_to_import_is_told_as_a_shell_takes_it(ids, call):
    told = call("action=export", "folder='out of here'", f"run_ids=[{ids['train']}]")
    assert told.endswith("mnist_flow.runs action=import 'folder=out of here' tracking.uri=URI\n")


def test_an_import_that_breaks_off_leaves_no_half_run_and_goes_on(ids, call, new_store, tmp_path, monkeypatch):
    call("action=export", "folder=out", "tracking.experiment_name=x")
    uri, other = switch_store(new_store, tmp_path / "there")
    end, calls = mlflow.MlflowClient.set_terminated, []

    def break_off(client, run_id, *rest):
        calls.append(run_id)
        if len(calls) == 2:
            raise mlflow.MlflowException("the server is on fire")
        end(client, run_id, *rest)

    monkeypatch.setattr(mlflow.MlflowClient, "set_terminated", break_off)
    arguments = ("action=import", "folder=out", f"tracking.uri={uri}")
    with pytest.raises(RunError, match=r"on fire; imported so far: 1 run; the same command goes on"):
        call(*arguments)
    experiment_id = other.get_experiment_by_name("x").experiment_id
    assert len(other.search_runs([experiment_id])) == 1
    assert "2 runs; there already: 1" in call(*arguments)
    assert len(other.search_runs([experiment_id])) == 3


@pytest.mark.commands
def test_two_imports_at_once_import_each_run_once(ids, call, new_store, tmp_path, monkeypatch):
    call("action=export", "folder=out", "tracking.experiment_name=x")
    uri, other = switch_store(new_store, tmp_path / "there")
    arguments = ("action=import", "folder=out", f"tracking.uri={uri}")
    deliver, started = importing.deliver, []

    def meet_another(*rest):
        if not started:
            errors = tmp_path / "errors.txt"
            with errors.open("w") as stderr:
                started.append(start_command(tmp_path, "-m", "mnist_flow.runs", *arguments, stderr=stderr))
            wait_until(lambda: started[0].poll() is not None or errors.read_text())
        deliver(*rest)

    monkeypatch.setattr(importing, "deliver", meet_another)
    call(*arguments)
    assert started[0].wait(60) == 0
    assert f"which imports run {ids['sweep']}" in (tmp_path / "errors.txt").read_text()
    assert len(other.search_runs([other.get_experiment_by_name("x").experiment_id])) == 3


def test_a_folder_that_is_full_or_no_export_and_a_run_that_is_running_are_refused(store, ids, call, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    with pytest.raises(ConfigError, match=r"folder=full: is there and not empty; choose another"):
        call("action=export", "folder=full")
    (tmp_path / "taken").touch()
    with pytest.raises(ConfigError, match=r"folder=taken: is there and not empty; choose another"):
        call("action=export", "folder=taken")
    with pytest.raises(ConfigError, match=r"action=export: which folder"):
        call("action=export")
    with pytest.raises(UserError, match=r"folder=full: holds no export of runs"):
        call("action=import", "folder=full")
    (tmp_path / "out").mkdir()
    call("action=export", "folder=out")
    record = json.loads((tmp_path / "out" / ids["train"] / "run.json").read_text())
    record["operations"][-1]["folder"] = "../../full"
    (tmp_path / "out" / ids["train"] / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"folder=out: holds no export of runs .names another folder"):
        call("action=import", "folder=out")
    store.update_run(ids["sweep"], "RUNNING")
    store.delete_tag(ids["sweep"], "mnist_flow.process")
    with pytest.raises(UserError, match=rf"run {ids['sweep']} is running; wait for it"):
        call("action=export", "folder=new")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["full", "mlruns", "out"]


def test_a_disk_that_is_full_is_told_with_the_folder_and_no_half_export_stays(store, ids, call, small_disk, tmp_path):
    (tmp_path / "large.bin").write_bytes(bytes(100_000))
    store.log_artifact(ids["train"], str(tmp_path / "large.bin"))
    folder = small_disk / "out"
    with pytest.raises(TrackingError, match=rf"^folder={folder}: the disk is full; make room there, or choose another"):
        call("action=export", f"folder={folder}", "tracking.experiment_name=x")
    assert list(small_disk.iterdir()) == []


def lose(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "damaged", "told"),
    [
        (lose, "artifacts", "artifacts/notes/text.txt"),
        (cut_in_half, "artifacts/notes/text.txt", None),
        (cut_in_half, "model/MLmodel", None),
        (lose, "run.json", None),
        (cut_in_half, "run.json", None),
    ],
)
def test_a_folder_that_was_cut_off_is_refused_before_anything_is_imported(
    ids, call, new_store, tmp_path, damage, damaged, told
):
    call("action=export", "folder=out", "tracking.experiment_name=x")
    uri, other = switch_store(new_store, tmp_path / "there")
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    damage(tmp_path / "copy" / ids["train"] / damaged)
    arguments = ("action=import", "folder=copy", f"tracking.uri={uri}")
    message = f"folder=copy: {ids['train']}/{told or damaged} is missing or cut off; copy the folder again"
    with pytest.raises(UserError, match=f"^{message}$"):
        call(*arguments)
    assert other.get_experiment_by_name("x") is None
    shutil.copytree(tmp_path / "out", tmp_path / "copy", dirs_exist_ok=True)
    assert "3 runs; there already: 0" in call(*arguments)


def test_an_export_without_a_list_of_files_is_imported(ids, call, new_store, tmp_path):
    call("action=export", "folder=out", "tracking.experiment_name=x")
    for file in (tmp_path / "out").glob("*/run.json"):
        record = json.loads(file.read_text())
        del record["files"]
        file.write_text(json.dumps(record))
    uri, _ = switch_store(new_store, tmp_path / "there")
    assert "3 runs; there already: 0" in call("action=import", "folder=out", f"tracking.uri={uri}")


@pytest.mark.slow
@pytest.mark.launchers
def test_whoever_has_a_password_may_import_and_is_told_what_the_server_denies(
    ids, call, authenticated_server, tmp_path, monkeypatch
):
    """To a user like this the server denies a run that is not there; the administrator is told that it is not."""
    call("action=export", "folder=out", "tracking.experiment_name=x")
    uri = authenticated_server.uri
    for name, value in authenticated_server.add_user("ada").items():
        monkeypatch.setenv(name, value)
    arguments = ("action=import", "folder=out", f"tracking.uri={uri}")
    assert f"imported into {uri}: 3 runs; there already: 0\n" in call(*arguments)
    assert f"imported into {uri}: 0 runs; there already: 3\n" in call(*arguments)
    missing = f"there is no such run at {uri}, or you may not read it"
    with pytest.raises(TrackingError, match=rf"^run_id={ids['train']}: {missing}$"):
        tracking.fetch_run(ids["train"])
    with pytest.raises(RunError, match=rf"^run {ids['train']}: {missing}$"):
        tracking.fetch_logged_run(ids["train"])
    for name, value in authenticated_server.add_user("bob").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=rf"{uri}: does not permit user bob to do this; ask its administrator"):
        call("action=delete", "tracking.experiment_name=x", "apply=true", f"tracking.uri={uri}")


@pytest.mark.slow
@pytest.mark.launchers
def test_imported_runs_are_resumed_analyzed_and_measured_on_a_server(
    store, compose_config, call, run_command, mlflow_server, new_store, tmp_path
):
    run_experiment(compose_config(*QUICK))
    call("action=export", "folder=out")
    assert "1 run; there already: 0" in call("action=import", "folder=out", f"tracking.uri={mlflow_server.uri}")
    assert "0 runs; there already: 1" in call("action=import", "folder=out", f"tracking.uri={mlflow_server.uri}")
    # From the server to a third store, with the model.
    call("action=export", "folder=from_server", f"tracking.uri={mlflow_server.uri}")
    uri, third = switch_store(new_store, tmp_path / "third")
    assert "1 run; there already: 0" in call("action=import", "folder=from_server", f"tracking.uri={uri}")
    (model,) = third.search_logged_models([third.get_experiment_by_name("mnist_flow").experiment_id])
    assert mlflow.tensorflow.load_model(model.model_uri).count_params() == 784 * 16 + 16 + 16 * 10 + 10
    variables = {"MLFLOW_TRACKING_URI": mlflow_server.uri}
    again = run_command(tmp_path, "-m", "mnist_flow.train", *QUICK, **variables)
    assert "has the same config and data and is finished" in again.stdout, again.stderr
    measured = run_command(
        tmp_path, "-m", "mnist_flow.evaluate", "measure=shift", "measure.shift.max_pixels=1", **variables
    )
    assert measured.returncode == 0, measured.stderr
    study = ("study=compare", "study.metric=fit_seconds", "study.x=model.name", "tracking.experiment_name=mnist_flow")
    drawn = run_command(tmp_path, "-m", "mnist_flow.analyze", *study, **variables)
    assert drawn.returncode == 0, drawn.stderr


def test_an_import_waits_for_another_of_the_same_run_and_says_so_once(store, monkeypatch, caplog):
    others, slept = iter(["host/1/77/9", "host/1/77/9", None, None]), []
    monkeypatch.setattr(importing, "_find_other_import", lambda origin: next(others))
    monkeypatch.setattr(importing.time, "sleep", slept.append)
    monkeypatch.setattr(importing.random, "uniform", lambda low, high: (low, high))
    monkeypatch.setattr(importing, "find_imported", lambda origin: f"new {origin}")
    assert importing._wait_for_other_import("r") == "new r"
    poll = importing._POLL_SECONDS
    assert slept == [poll, poll, (0, poll)]
    assert [one.getMessage() for one in caplog.records] == ["waiting for process 77 on host, which imports run r"]
    assert importing._wait_for_other_import("r") == "new r"
    assert slept[3:] == [(0, poll)]
