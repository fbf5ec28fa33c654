"""Stores that are not what a command expects, and variables that choose another one than was typed."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pytest

from mnist_flow.tracking import names
from support import DEAD_PROCESS, made_read_only

TRAIN = ("-m", "mnist_flow.train", "data=digits", "model=mlp", "model.hidden_units=[8]", "epochs=1", "batch_size=64")
IN_M = "tracking.experiment_name=m"
EVALUATE = ("-m", "mnist_flow.evaluate", "measure=shift", "measure.shift.max_pixels=1", IN_M)
ANALYZE = ("-m", "mnist_flow.analyze", "study=compare", IN_M, "output_dir=figures")


def connect(folder: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")


def run_well(run_command, folder: Path, *arguments: str, **variables: str) -> str:
    done = run_command(folder, *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def swept(tmp_path_factory, run_command) -> Path:
    """A folder with a finished sweep of two runs."""
    folder = tmp_path_factory.mktemp("swept")
    run_well(run_command, folder, *TRAIN, IN_M, "-m", "seed=0,1")
    return folder


@pytest.fixture
def copy(swept, tmp_path, run_command) -> Path:
    """The same in a folder of its own."""
    folder = tmp_path / "copy"
    shutil.copytree(swept, folder)
    run_well(run_command, folder, "-m", "mnist_flow.relocate", "apply=true")
    return folder


# Variables


def test_variables_that_win_over_what_was_typed_are_named_and_empty_ones_are_unset(tmp_path, run_command):
    typed = ("tracking.uri=sqlite:///typed.db", "tracking.experiment_name=typed")
    won = run_command(
        tmp_path,
        *TRAIN,
        *typed,
        MLFLOW_TRACKING_URI="sqlite:///won.db",
        MLFLOW_EXPERIMENT_NAME="won",
        MNIST_NPZ="",
    )
    assert won.returncode == 0, won.stderr
    assert won.stderr.splitlines() == [
        "WARNING mnist_flow.tracking.server: MLFLOW_TRACKING_URI=sqlite:///won.db wins over "
        "tracking.uri=sqlite:///typed.db",
        "WARNING mnist_flow.tracking.server: MLFLOW_EXPERIMENT_NAME=won wins over tracking.experiment_name=typed",
    ]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/won.db")
    assert len(client.search_runs([client.get_experiment_by_name("won").experiment_id])) == 1
    empty = dict.fromkeys(
        ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID", "MNIST_NPZ"), ""
    )
    done = run_command(tmp_path, *TRAIN, *typed, "plan=true", **empty, MLFLOW_HTTP_REQUEST_TIMEOUT="")
    assert (done.returncode, done.stderr) == (0, "")


# A store that this user can only read


def test_the_runs_of_a_store_that_can_only_be_read_are_listed_planned_exported_and_drawn(copy, tmp_path, run_command):
    here = tmp_path / "here"
    here.mkdir()
    uri = f"tracking.uri=sqlite:///{copy}/mlflow.db"
    experiment_id = connect(copy).get_experiment_by_name("m").experiment_id
    connect(copy).create_run(experiment_id, tags={names.PROCESS_TAG: DEAD_PROCESS})
    runs = ("-m", "mnist_flow.runs", uri)
    unwritable = f"{copy}/mlflow.db: can't be written"
    with made_read_only(copy):
        assert "4 runs" in run_well(run_command, here, *runs)
        assert "2 models; nothing is deleted yet" in run_well(
            run_command, here, *runs, "action=delete", "model.name=mlp"
        )
        assert "1 done or running, 1 to train" in run_well(
            run_command, here, *TRAIN, IN_M, uri, "-m", "seed=1,2", "plan=true"
        )
        run_well(run_command, here, *runs, "action=export", "folder=exported", "status=finished")
        drawn = run_command(here, *ANALYZE, uri)
        assert (drawn.returncode, drawn.stderr) == (
            0,
            f"WARNING mnist_flow.analysis.study: {unwritable}, so the files are not logged to the runs\n",
        )
        reading = "import mnist_flow, sys; print(len(mnist_flow.run(sys.argv[2], uri=sys.argv[1]).fetch_history()))"
        (trained, *_) = connect(copy).search_runs([experiment_id], "tags.`mnist_flow.kind` = 'train'")
        assert run_well(run_command, here, "-c", reading, uri.partition("=")[2], trained.info.run_id) == "1\n"
        for arguments in ((*TRAIN, IN_M, uri, "seed=2"), (*runs, "action=delete", "status=finished", "apply=true")):
            refused = run_command(here, *arguments)
            assert refused.returncode == 2
            assert refused.stderr.startswith(f"error: {unwritable}; go to another folder, or choose a server")
    assert sorted(path.name for path in here.iterdir()) == ["exported", "figures"]
    assert connect(copy).search_runs([experiment_id], "attributes.status = 'RUNNING'")
    run_well(run_command, here, *runs, "action=import", "folder=exported", "tracking.uri=sqlite:///mlflow.db")
    assert (here / "mlflow.db").is_file()


# Addresses


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("localhost:5000", "http://localhost:5000"),
        ("mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite://mlflow.db", "sqlite:///mlflow.db"),
        ("postgres://ada:sesame@host/runs", "postgresql://***@host/runs"),
    ],
)
def test_what_is_no_address_is_refused_with_the_one_that_was_meant(tmp_path, run_command, uri, meant):
    shown = uri.replace("ada:sesame", "***")
    for arguments, key, variables in (
        ((*TRAIN, f"tracking.uri='{uri}'"), "tracking.uri", {}),
        (ANALYZE, "MLFLOW_TRACKING_URI", {"MLFLOW_TRACKING_URI": uri}),
    ):
        done = run_command(tmp_path, *arguments, **variables)
        assert done.returncode == 2
        assert done.stderr == f"error: {key}={shown}: is no tracking URI; did you mean {meant}?\n"
    assert not list(tmp_path.iterdir())


def test_a_query_and_a_home_folder_are_part_of_an_address(tmp_path, run_command):
    home = tmp_path / "home"
    home.mkdir()
    run_well(run_command, tmp_path, *TRAIN, "tracking.uri='sqlite:///~/x.db?timeout=60'", HOME=str(home))
    by_path = f"tracking.uri='sqlite:///{home}/x.db?timeout=60'"
    assert "is finished" in run_well(run_command, tmp_path, *TRAIN, by_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "mlruns"]


def test_experiments_of_an_older_mlflow_do_not_hide_the_store(tmp_path, run_command):
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()
    done = run_command(tmp_path, *TRAIN)
    assert (done.returncode, done.stderr) == (0, "")
    # MLflow's own command would take the old files.
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db" in done.stdout
    assert connect(tmp_path).get_experiment_by_name("mnist_flow") is not None


# What was deleted or changed


def test_every_command_says_the_same_of_a_deleted_experiment(copy, run_command):
    client = connect(copy)
    experiment_id = client.get_experiment_by_name("m").experiment_id
    client.delete_experiment(experiment_id)
    said = (
        "tracking.experiment_name=m: this experiment is deleted; restore it: mlflow experiments restore "
        f"--experiment-id {experiment_id}, or choose another name"
    )
    for arguments in ((*TRAIN, IN_M), (*TRAIN, IN_M, "plan=true"), (*TRAIN, IN_M, "-m", "seed=0,1"), EVALUATE, ANALYZE):
        done = run_command(copy, *arguments)
        assert (done.returncode, done.stderr) == (2, f"error: {said}\n"), arguments
    by_id = run_command(copy, *TRAIN, MLFLOW_EXPERIMENT_ID=experiment_id)
    assert said in by_id.stderr


def test_artifacts_that_were_deleted_are_named_with_the_remedy_and_made_anew(copy, run_command):
    shutil.rmtree(copy / "mlruns")
    gone = run_command(copy, *EVALUATE)
    assert gone.returncode == 1
    assert "if its files are gone, train it again: python -m mnist_flow.rerun run_id=" in gone.stderr
    run_well(run_command, copy, *TRAIN, IN_M, "resume=false")
    assert len(list(copy.glob("mlruns/*/models/*/artifacts/MLmodel"))) == 1


def test_a_sweep_whose_parent_was_deleted_is_done_and_can_be_analyzed(copy, run_command):
    client = connect(copy)
    experiment_id = client.get_experiment_by_name("m").experiment_id
    (parent,) = client.search_runs([experiment_id], "tags.`mnist_flow.kind` = 'sweep'")
    client.delete_run(parent.info.run_id)
    assert "2 skipped" in run_well(run_command, copy, *TRAIN, IN_M, "-m", "seed=0,1")
    run_well(run_command, copy, *ANALYZE)
    assert list((copy / "figures").glob("*.png"))


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        (
            "451aebb31d03",
            "an older MLflow made its schema (451aebb31d03); copy it, then bring it up to date: ",
        ),
        ("ffffffffffff", f"a newer MLflow than {mlflow.__version__} made its schema (ffffffffffff); install that one"),
    ],
)
def test_the_schema_of_another_mlflow_is_told_with_the_remedy(copy, run_command, revision, said):
    with closing(sqlite3.connect(copy / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", [revision])
    for arguments in ((*TRAIN, IN_M), EVALUATE, ANALYZE):
        done = run_command(copy, *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: tracking server sqlite:///{copy}/mlflow.db: {said}")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("what", ["text", "folder"])
def test_a_store_that_is_no_database_is_told_at_once(tmp_path, run_command, what):
    store = tmp_path / "mlflow.db"
    if what == "folder":
        store.mkdir()
    else:
        store.write_text("hello", encoding="utf-8")
    done = run_command(tmp_path, *TRAIN, "plan=true")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {store}: is ")
    assert done.stderr.count("\n") == 1


# Servers


@pytest.fixture
def web_site():
    """A server that answers every question with a page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        do_POST = do_GET  # noqa: N815 - the name that the base class looks for

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_is_no_mlflow_and_a_proxy_that_is_away_are_named(tmp_path, run_command, web_site):
    done = run_command(tmp_path, *TRAIN, f"tracking.uri={web_site}")
    assert done.returncode == 2
    assert done.stderr == (f"error: tracking server {web_site}: is no MLflow server; it answers '<html>hello</html>'\n")
    away = {"http_proxy": "http://ada:sesame@127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = run_command(tmp_path, *TRAIN, "tracking.uri=http://mlflow.invalid:5000", **away)
    assert done.returncode == 2
    assert done.stderr == (
        "error: tracking server http://mlflow.invalid:5000: the proxy http://***@127.0.0.1:9 in http_proxy does not "
        "answer; correct that variable, or go past it: no_proxy=mlflow.invalid\n"
    )
    refused = run_command(tmp_path, "-m", "mnist_flow.relocate", f"tracking.uri={web_site}")
    assert refused.returncode == 2
    assert "on its machine, name its database" in refused.stderr
