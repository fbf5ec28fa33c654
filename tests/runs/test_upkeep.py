"""python -m mnist_flow.runs: which runs are shown, and which are deleted; the runs have no training behind them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import mlflow
import pytest

from mnist_flow import tracking
from mnist_flow.config.overrides import type_override, write_override
from mnist_flow.errors import ConfigError, RunError, TrackingError, UserError
from mnist_flow.runs.upkeep import look_after_runs
from mnist_flow.runtime.processes import describe_process
from support import DEAD_PROCESS, PROCESS_ELSEWHERE, count_store_calls

pytestmark = pytest.mark.usefixtures("output")

DAY = 86_400_000
IDS = re.compile(r"\b[0-9a-f]{32}\b")


@pytest.fixture
def ids(store, tmp_path) -> dict[str, str]:
    """Run ids of a sweep with a finished, a failed and a lost job, an evaluation of the first, and a run beside it."""
    experiment_id = tracking.get_or_create_experiment("x")
    now, made = int(time.time() * 1000), {}

    def make(name, kind="train", status="FINISHED", parent=None, process=None, days=0, model=False):
        tags = {"mnist_flow.kind": kind, "mnist_flow.fingerprint": name}
        tags |= {"mlflow.parentRunId": made[parent]} if parent else {}
        tags |= {"mnist_flow.process": process} if process else {}
        run = store.create_run(experiment_id, start_time=now - (days + 1) * DAY, tags=tags, run_name=name)
        made[name] = run.info.run_id
        if kind == "train":
            store.log_param(run.info.run_id, "model.name", "lenet5" if name == "beside" else "mlp")
        if model:
            logged = store.create_logged_model(experiment_id, "model", run.info.run_id)
            (tmp_path / "weights").write_bytes(b"0" * 2_000_000)
            store.log_model_artifact(logged.model_id, str(tmp_path / "weights"))
        if status != "RUNNING":
            store.set_terminated(run.info.run_id, status, now - days * DAY)

    make("sweep", "sweep", days=10)
    make("done", parent="sweep", days=10, model=True)
    make("failed", status="FAILED", parent="sweep", days=20)
    make("lost", status="RUNNING", parent="sweep", process=DEAD_PROCESS)
    make("measured", "evaluation", parent="done", days=1)
    make("beside", days=30, model=True)
    store.log_metric(made["done"], "test_accuracy", 0.9731)
    store.log_metric(made["beside"], "test_loss", 0.07123)
    return made


@pytest.fixture
def look(compose_config, capsys, ids):
    """Run the command in process; returns what it printed."""

    def call(*overrides):
        look_after_runs(compose_config(*overrides, config_name="runs"))
        return capsys.readouterr().out

    return call


def find_names(ids, printed) -> set[str]:
    names = {run_id: name for name, run_id in ids.items()}
    return {names[run_id] for run_id in IDS.findall(printed)}


def test_runs_are_listed_by_state_model_age_and_size(look, ids):
    for chosen, shown in (
        ([], {"sweep", "done", "failed", "lost", "measured", "beside"}),
        (["status=failed"], {"failed"}),
        (["status=[killed,failed]"], {"failed", "lost"}),
        (["model.name=lenet5"], {"beside"}),
        (["older_than=5"], {"sweep", "done", "failed", "beside"}),
        (["older_than=5", "status=finished", "model.name=mlp"], {"done"}),
        (["larger_than=1"], {"done", "beside"}),
        (["filter='tags.`mnist_flow.kind` = \"evaluation\"'"], {"measured"}),
    ):
        printed = look(*chosen)
        assert find_names(ids, printed) == shown
        assert f"{len(shown)} run{'s' if len(shown) > 1 else ''}, " in printed


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("params.reg = 1", "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 1"),
        ("params.reg = '1", "Invalid clause(s) in filter string: 'params.reg', '=', ''', '1'"),
        ("accuracy > 0.9", "Invalid attribute key 'accuracy' specified"),
        ("metric > 0.9", "Invalid attribute key 'metric' specified"),
    ],
)
def test_a_malformed_filter_is_told_with_one_that_is_right(look, ids, given, reason):
    with pytest.raises(TrackingError) as raised:
        look(write_override("filter", given))
    example = type_override("filter", "params.reg = '0.1'")
    assert str(raised.value) == f"filter={given}: is no filter of MLflow ({reason}); write it like this one: {example}"


def test_a_trial_that_a_search_pruned_is_not_killed(look, ids, store):
    store.set_terminated(ids["lost"], "KILLED")
    store.set_tag(ids["lost"], tracking.PRUNED_TAG, "3")
    assert find_names(ids, look("action=delete", "status=[killed,pruned]")) == {"lost"}
    assert look("action=delete", "status=killed").endswith("no such runs\n")
    assert " pruned " in look("status=pruned")
    look("action=export", "status=pruned", "folder=exported")
    exported = [json.loads(file.read_text()) for file in Path("exported").rglob("run.json")]
    assert {run["name"]: run["status"] for run in exported} == {"sweep": "FINISHED", "lost": "KILLED"}


def test_runs_are_listed_with_their_results_and_whole_names(look, ids, store):
    store.set_tag(ids["done"], "mlflow.runName", "a name of more than thirty letters, told whole")
    printed = look("model.name=mlp")
    assert "a name of more than thirty letters, told whole" in printed
    assert "accuracy 97.31%" in printed
    assert "loss 0.07123" in look("model.name=lenet5")


def test_ids_are_whole_in_a_terminal_of_80_columns(look, ids, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    printed = look()
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in printed.splitlines()[1:-1]) == 80
    assert find_names(ids, printed) == set(ids)


def test_a_sweep_is_listed_with_its_jobs_and_an_experiment_without_others(look, ids, store):
    assert find_names(ids, look(f"sweep={ids['sweep']}")) == {"sweep", "done", "failed", "lost"}
    assert find_names(ids, look(f"sweep={ids['sweep']}", f"run_ids=[{ids['done']}]")) == {"done"}
    store.create_experiment("empty")
    assert look("tracking.experiment_name=empty").endswith("no such runs\n")
    with pytest.raises(ConfigError, match=r"experiment_name=other: no such experiment"):
        look("tracking.experiment_name=other")
    with pytest.raises(TrackingError, match="is no sweep; its id is that of the parent run"):
        look(f"sweep={ids['done']}")
    with pytest.raises(TrackingError, match="there is no such run"):
        look("run_ids=[abc]")


def test_runs_of_every_experiment_are_listed_with_their_models(look, ids, store):
    other = store.create_experiment("other")
    run_id = store.create_run(other, run_name="of another", tags={"mnist_flow.kind": "train"}).info.run_id
    model = store.create_logged_model(other, "model", run_id)
    found = tracking.fetch_stored_runs(list(tracking.list_experiments().values()))
    having = {run.run_id: len(run.model_places) for run in found if run.model_places}
    assert having == {ids["done"]: 1, ids["beside"]: 1, run_id: 1}
    assert next(run for run in found if run.run_id == run_id).model_places == {model.model_id: model.artifact_location}


def test_a_sweep_is_deleted_with_all_below_it_once_that_is_asked_for(look, ids, store):
    shown = look("action=delete", f"sweep={ids['sweep']}")
    assert find_names(ids, shown) == {"sweep", "done", "failed", "lost", "measured"}
    assert "nothing is deleted yet; apply=true deletes it" in shown
    assert find_names(ids, look()) == set(ids)
    printed = look("action=delete", f"sweep={ids['sweep']}", "apply=true")
    assert "deleted: 5 runs, 1 model\n" in printed
    assert find_names(ids, look()) == {"beside"}
    # What the command says is to be typed removes it from the disk.
    typed = printed.strip().splitlines()[-1].partition(": ")[2]
    places = [Path(store.get_run(ids[name]).info.artifact_uri).parent for name in ids]
    done = subprocess.run(["/bin/sh", "-c", typed], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sum(file.stat().st_size for place in places for file in place.rglob("*") if file.is_file()) == 0
    assert [model.source_run_id for model in store.search_logged_models(["1"])] == [ids["beside"]]
    with pytest.raises(mlflow.MlflowException):
        store.get_run(ids["done"])


def test_models_are_deleted_and_their_runs_stay(look, ids, store):
    assert find_names(ids, look("action=delete_models", "model.name=mlp", "apply=true")) == {"done"}
    assert store.get_run(ids["done"]).info.status == "FINISHED"
    assert [model.source_run_id for model in store.search_logged_models(["1"])] == [ids["beside"]]
    remedy = rf"mnist_flow.rerun run_id={ids['done']}; the new run has an id of its own"
    with pytest.raises(RunError, match=rf"run {ids['done']}: its model was not kept .* {remedy}"):
        tracking.fetch_logged_run(ids["done"])


def test_what_is_running_or_registered_is_not_deleted(look, ids, store):
    store.set_tag(ids["lost"], "mnist_flow.process", PROCESS_ELSEWHERE)
    store.set_tag(ids["lost"], "mnist_flow.heartbeat", str(int(time.time())))
    line = rf"run {ids['lost']} is running in process 4242 on elsewhere; nothing of it is deleted; wait for it"
    with pytest.raises(UserError, match=line):
        look("action=delete", f"sweep={ids['sweep']}", "apply=true")
    store.set_terminated(ids["lost"])
    store.update_run(ids["sweep"], "RUNNING")
    with pytest.raises(UserError, match=rf"run {ids['sweep']} is running; its runs are not deleted meanwhile"):
        look("action=delete", "status=failed", "apply=true")
    store.create_registered_model("digits")
    (model,) = store.search_logged_models(["1"], f"source_run_id = '{ids['beside']}'")
    store.finalize_logged_model(model.model_id, "READY")
    store.create_model_version("digits", f"models:/{model.model_id}", ids["beside"])
    with pytest.raises(UserError, match=rf"run {ids['beside']}: its model is registered as digits, version 1"):
        look("action=delete_models", "model.name=lenet5", "apply=true")
    with pytest.raises(ConfigError, match="action=delete: of which runs"):
        look("action=delete", "apply=true")
    assert find_names(ids, look()) == set(ids)


def test_a_server_that_breaks_off_loses_nothing_and_the_same_command_goes_on(look, ids, store, monkeypatch):
    delete = mlflow.MlflowClient.delete_run
    calls = []

    def break_off(client, run_id):
        calls.append(run_id)
        if len(calls) == 3:
            raise mlflow.MlflowException("the server is on fire")
        delete(client, run_id)

    monkeypatch.setattr(mlflow.MlflowClient, "delete_run", break_off)
    with pytest.raises(RunError, match=r"on fire; 2 of 5 runs are done; the same command goes on"):
        look("action=delete", f"sweep={ids['sweep']}", "apply=true")
    assert {"sweep", "beside"} < find_names(ids, look())
    assert "deleted: 3 runs" in look("action=delete", f"sweep={ids['sweep']}", "apply=true")


def test_checkpoints_that_no_run_goes_on_from_are_deleted(look, ids, store, tmp_path):
    for name in (*ids.values(), "0" * 32):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "epoch-1.npz").write_bytes(b"0")
    store.delete_run(ids["failed"])
    shown = look("action=delete_checkpoints")
    assert "checkpoints in checkpoints to be deleted\n" in shown
    left = {ids["lost"], "0" * 32}
    assert left & set(IDS.findall(shown)) == {"0" * 32}
    assert f"does not know their runs: 'run_ids=[{'0' * 32}]'" in shown
    assert "deleted: 5 checkpoints\n" in look("action=delete_checkpoints", "apply=true")
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == left
    look("action=delete_checkpoints", f"run_ids=[{'0' * 32}]", "apply=true")
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {ids["lost"]}


def test_checkpoints_of_a_run_that_is_running_stay_though_it_is_named(look, ids, store, tmp_path):
    tags = {"mnist_flow.kind": "train", "mnist_flow.process": describe_process()}
    run_id = store.create_run("1", tags=tags).info.run_id
    (tmp_path / "checkpoints" / run_id).mkdir(parents=True)
    look("action=delete_checkpoints", f"run_ids=[{run_id}]", "apply=true")
    assert (tmp_path / "checkpoints" / run_id).is_dir()


def test_of_runs_without_a_size_the_others_are_not_summed(look, ids, monkeypatch):
    assert ", 4.0 MB\n" in look()
    measure = tracking.StoredRun.measure_bytes
    monkeypatch.setattr(
        tracking.StoredRun,
        "measure_bytes",
        lambda run, **how: None if run.run_id == ids["done"] else measure(run, **how),
    )
    assert look().splitlines()[-1] == "6 runs"


@pytest.fixture
def keep_record(ids, tmp_path):
    """Keep a record for a server that is away, since some days, as its run would."""

    def keep(name, days=0):
        about = {"experiment_id": "1", "tracking_uri": "http://away", "process": "", "operations": []}
        folder = tmp_path / "undelivered" / ids[name]
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps({**about, "run_id": ids[name], "reason": "does not answer"}))
        os.utime(folder, (time.time() - days * DAY / 1000,) * 2)

    return keep


def test_kept_records_are_deleted_when_they_are_named(look, ids, keep_record, tmp_path):
    keep_record("done")
    keep_record("failed")
    assert find_names(ids, look("action=delete_records")) == {"done", "failed"}
    with pytest.raises(ConfigError, match="action=delete_records: which"):
        look("action=delete_records", "apply=true")
    there = look("action=delete_records", "tracking.uri='http://user:word@away'")
    assert find_names(ids, there) == {"done", "failed"}
    elsewhere = look("action=delete_records", "tracking.uri=http://other", "older_than=0", "apply=true")
    assert elsewhere == "tracking.undelivered_dir=undelivered: no such records\n"
    look("action=delete_records", f"run_ids=[{ids['done']}]", "apply=true")
    assert [path.name for path in (tmp_path / "undelivered").iterdir()] == [ids["failed"]]
    look("action=delete_records", "older_than=0", "apply=true")
    assert not (tmp_path / "undelivered").exists()
    assert look("action=delete_records") == "tracking.undelivered_dir=undelivered: no such records\n"


def test_a_damaged_record_is_told_and_deleted_as_any_other(look, ids, tmp_path):
    record = tmp_path / "undelivered" / ids["done"] / "record.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"run_id": ')
    assert "is damaged" in look("action=delete_records")
    assert "deleted: 1 record\n" in look("action=delete_records", f"run_ids=[{ids['done']}]", "apply=true")
    assert not (tmp_path / "undelivered").exists()


def test_of_named_records_those_that_are_young_stay(look, ids, keep_record):
    keep_record("done", days=9)
    keep_record("failed", days=3)
    named = f"run_ids=[{ids['done']},{ids['failed']}]"
    shown = look("action=delete_records", named, "older_than=5")
    assert find_names(ids, shown) == {"done"}
    assert "no such records" in look("action=delete_records", named, "older_than=10")


def test_all_below_a_sweep_is_found_with_a_few_questions(look, ids, store, tmp_path):
    for number in range(30):
        parent = ids["sweep"]
        for kind in ("train", "evaluation"):
            tags = {"mnist_flow.kind": kind, "mlflow.parentRunId": parent, "mnist_flow.process": DEAD_PROCESS}
            parent = store.create_run("1", number, tags, f"{kind} {number}").info.run_id
    asked = count_store_calls(tmp_path, "mnist_flow.runs", "action=delete", f"sweep={ids['sweep']}")
    # Two look up the sweep, three what is below it, level by level.
    assert asked["search_runs"] <= 6
    assert asked["search_logged_models"] <= 2
    assert sum(asked.values()) <= 15
    assert "65 runs" in look("action=delete", f"sweep={ids['sweep']}")


def test_the_command_says_what_is_wrong_in_one_line(store, tmp_path, run_command):
    done = run_command(tmp_path, "-m", "mnist_flow.runs")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("no such runs\n")
    for wrong, line in (("status=done", "status=done: must be"), ("action=remove", "action=remove: must be")):
        done = run_command(tmp_path, "-m", "mnist_flow.runs", wrong)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {line}")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("action=delete_records", "status=failed", "older_than=7"), "status: action=delete_records does not heed it"),
        (("action=delete_checkpoints", "older_than=7"), "older_than: action=delete_checkpoints does not heed it"),
        *(
            ((f"action={action}", "tracking.experiment_name=x"), f"tracking.experiment_name: action={action} does not")
            for action in ("delete_records", "delete_checkpoints")
        ),
    ],
)
def test_a_key_that_an_action_does_not_heed_is_refused(look, arguments, line):
    """More would be deleted than was meant."""
    with pytest.raises(ConfigError, match=line):
        look(*arguments, "apply=true")
