"""Folders with any name, folders that moved or were copied, and folders that several users or commands share."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from mnist_flow.tracking.address import build_sqlite_uri
from support import PROJECT_DIR

TRAIN = ("-m", "mnist_flow.train", "data=digits", "model=mlp", "model.hidden_units=[8]", "epochs=1", "batch_size=64")
IN_M = "tracking.experiment_name=m"
EVALUATE = ("-m", "mnist_flow.evaluate", "measure=shift", "measure.shift.max_pixels=1", IN_M)
RELOCATE = ("-m", "mnist_flow.relocate")

# What MLflow has to be told encoded, because it decodes it: `%20`, and a question mark.
ENCODED = "a%20b?c"
ODD = "my project übung (1) + & , = @ ' # 100% ~"


def connect(folder: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(build_sqlite_uri(folder / "mlflow.db"))


def fetch_runs(folder: Path) -> list[mlflow.entities.Run]:
    client = connect(folder)
    return client.search_runs([one.experiment_id for one in client.search_experiments()])


def read_places(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        rows = database.execute(
            "SELECT artifact_location FROM experiments UNION SELECT artifact_uri FROM runs "
            "UNION SELECT artifact_location FROM logged_models"
        )
        return {place for (place,) in rows}


def run_well(run_command, folder: Path, *arguments: str, **variables: str) -> str:
    done = run_command(folder, *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Names


@pytest.mark.parametrize("name", [ODD, ENCODED, "x" * 200])
def test_a_folder_may_have_any_name(tmp_path, run_command, name):
    folder = tmp_path / name
    folder.mkdir()
    printed = run_well(run_command, folder, *TRAIN, IN_M)
    (look,) = [line for line in printed.splitlines() if "mlflow ui" in line]
    typed = look.partition("mlflow ui")[2].partition(", and open ")[0]
    assert shlex.split(typed) == ([] if name == "x" * 200 else ["--backend-store-uri", "sqlite:///mlflow.db"])
    run_well(run_command, folder, *EVALUATE)
    assert sorted(path.name for path in folder.iterdir()) == ["mlflow.db", "mlruns"]
    # Neither MLflow nor we made a folder of another spelling.
    assert [path.name for path in tmp_path.iterdir()] == [name]
    runs = fetch_runs(folder)
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    client = connect(folder)
    assert all(client.list_artifacts(run.info.run_id) for run in runs)
    assert len(list(folder.glob("mlruns/*/models/*/artifacts/MLmodel"))) == 1


@pytest.mark.slow
def test_every_command_works_in_a_folder_with_an_odd_name(tmp_path, run_command):
    folder = tmp_path / ODD
    own = folder / "my conf (1), a=b" / "model"
    own.mkdir(parents=True)
    (own / "tiny.yaml").write_text("defaults:\n  - mlp\nname: tiny\nhidden_units: [4]\n", encoding="utf-8")
    train = (TRAIN[0], TRAIN[1], "--config-dir", str(own.parent), "data=digits", "model=tiny", "epochs=1", IN_M)
    run_well(run_command, folder, *train, "-m", "seed=0,1", "hydra/launcher=local_pool")
    (parent,) = [run for run in fetch_runs(folder) if run.data.tags["mnist_flow.kind"] == "sweep"]
    jobs = [run for run in fetch_runs(folder) if run.data.tags["mnist_flow.kind"] == "train"]
    assert {run.data.params["model.name"] for run in jobs} == {"tiny"}
    figures = r"output_dir='figures (1), \'#2\''"
    run_well(run_command, folder, "-m", "mnist_flow.analyze", "study=curves", IN_M, figures)
    assert list((folder / "figures (1), '#2'").glob("*.png"))
    assert connect(folder).list_artifacts(parent.info.run_id, "analysis")
    # A record that was kept, as `Delivery` keeps it.
    kept = folder / "undelivered" / jobs[0].info.run_id
    kept.mkdir(parents=True)
    record = {
        "run_id": jobs[0].info.run_id,
        "experiment_id": jobs[0].info.experiment_id,
        "tracking_uri": build_sqlite_uri(folder / "mlflow.db"),
        "process": jobs[0].data.tags["mnist_flow.process"],
        "reason": "",
        "operations": [{"kind": "batch", "tags": {"delivered": "yes"}}],
    }
    (kept / "record.json").write_text(json.dumps(record), encoding="utf-8")
    assert "delivered run" in run_well(run_command, folder, "-m", "mnist_flow.sync")
    assert connect(folder).get_run(jobs[0].info.run_id).data.tags["delivered"] == "yes"
    assert not (folder / "undelivered").exists()


def test_a_folder_has_one_store_by_whatever_name_it_is_reached(tmp_path, run_command):
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    run_well(run_command, real, *TRAIN)
    assert "same config and data and is finished" in run_well(run_command, tmp_path / "link", *TRAIN)
    by_link = f"tracking.uri='sqlite:///{tmp_path}/link/mlflow.db'"
    assert "same config and data and is finished" in run_well(run_command, tmp_path, *TRAIN, by_link)


def test_the_store_is_where_the_command_was_typed_whatever_folder_hydra_changes_to(tmp_path, run_command):
    elsewhere = ("hydra.job.chdir=true", "hydra.run.dir=out/one", "hydra.sweep.dir=out/many", IN_M)
    run_well(run_command, tmp_path, *TRAIN, *elsewhere, "training.checkpoint_dir=kept")
    run_well(run_command, tmp_path, *TRAIN, *elsewhere, "-m", "hydra.sweep.subdir=s", "seed=0,1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlruns", "out"]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    # The sweep found the run of seed 0.
    assert sorted(run.data.tags["mnist_flow.kind"] for run in fetch_runs(tmp_path)) == ["sweep", "train", "train"]


# Folders that moved


@pytest.fixture(scope="module")
def moved(tmp_path_factory, run_command) -> Path:
    """A folder `c` that was `a` when two runs were trained in it."""
    folder = tmp_path_factory.mktemp("moved")
    (folder / "a").mkdir()
    run_well(run_command, folder / "a", *TRAIN, IN_M, "-m", "seed=0,1")
    (folder / "a").rename(folder / "c")
    return folder / "c"


@pytest.fixture
def said(moved) -> str:
    return f"are looked for in {moved.parent / 'a'}, but their store is in {moved}; relocate them: "


def test_training_in_a_folder_that_moved_names_the_command_that_relocates(moved, run_command, said):
    for arguments in ((*TRAIN, "seed=2", IN_M), (*TRAIN, "-m", "seed=2,3", IN_M)):
        done = run_command(moved, *arguments)
        assert done.returncode == 2
        assert done.stderr == f"error: experiment 'm': its artifacts {said}python -m mnist_flow.relocate apply=true\n"
    assert not (moved.parent / "a").exists()
    assert len(fetch_runs(moved)) == 3


def test_evaluate_and_rerun_in_a_folder_that_moved_name_it_too(moved, run_command, said):
    run_id = next(run.info.run_id for run in fetch_runs(moved) if run.data.tags["mnist_flow.kind"] == "train")
    for arguments in (EVALUATE, ("-m", "mnist_flow.rerun", f"run_id={run_id}")):
        done = run_command(moved, *arguments)
        assert done.returncode == 2
        assert said in done.stderr.splitlines()[-1]
    assert not (moved.parent / "a").exists()
    assert len(fetch_runs(moved)) == 3


def test_an_analysis_in_a_folder_that_moved_draws_and_says_what_it_could_not_log(moved, tmp_path, run_command, said):
    done = run_command(moved, "-m", "mnist_flow.analyze", "study=compare", IN_M, f"output_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    assert not (moved.parent / "a").exists()


def test_a_record_that_was_kept_for_a_store_that_moved_makes_no_new_one(moved, run_command):
    run = fetch_runs(moved)[0]
    kept = moved / "undelivered" / run.info.run_id
    kept.mkdir(parents=True)
    old = moved.parent / "a"
    record = {
        "run_id": run.info.run_id,
        "experiment_id": run.info.experiment_id,
        "tracking_uri": f"sqlite:///{old}/mlflow.db",
        "process": run.data.tags["mnist_flow.process"],
        "reason": "",
        "operations": [],
    }
    (kept / "record.json").write_text(json.dumps(record), encoding="utf-8")
    done = run_command(moved, "-m", "mnist_flow.sync")
    assert done.returncode == 1
    assert f"sqlite:///{old}/mlflow.db: no such store; deliver to where it is now" in done.stderr
    assert kept.exists()
    assert not old.exists()
    shutil.rmtree(moved / "undelivered")


def test_relocate_shows_first_and_then_everything_is_found(moved, tmp_path, run_command):
    folder = tmp_path / "c"
    shutil.copytree(moved, folder)
    before = read_places(folder)
    assert all(str(moved.parent / "a") in place for place in before)
    assert "nothing is changed yet" in run_well(run_command, folder, *RELOCATE)
    assert read_places(folder) == before
    run_well(run_command, folder, *RELOCATE, "apply=true")
    assert all(place.startswith(f"{folder}/mlruns/") for place in read_places(folder))
    assert len(read_places(folder)) == len(before)
    assert "nothing to relocate" in run_well(run_command, folder, *RELOCATE)
    run_well(run_command, folder, *TRAIN, "seed=2", IN_M)
    assert "3 to measure" in run_well(run_command, folder, *EVALUATE)
    assert not (moved.parent / "a").exists()
    # The copy of a store whose original is there still would write to the original.
    copy = tmp_path / "d"
    shutil.copytree(folder, copy)
    done = run_command(copy, *TRAIN, "seed=3", IN_M)
    assert done.returncode == 2
    assert f"are looked for in {folder}, but their store is in {copy}" in done.stderr


# Folders that several share


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that a group may write; pytest's own are for one user."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can be two users")
    if any(not folder.stat().st_mode & 0o005 for folder in PROJECT_DIR.parents):
        pytest.skip("other users can't read the project")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chown(folder, 0, 4242)
        folder.chmod(0o2775)
        yield folder


def test_two_users_share_a_folder(shared, tmp_path, run_command):
    for number, seed in ((4243, 0), (4244, 1)):
        # The first training imports what the user may not read, such as Python's own modules.
        program = f"""
import os, runpy, sys, tempfile
sys.argv = sys.argv[1:]
def train(folder):
    os.chdir(folder)
    try:
        runpy.run_module("mnist_flow.train", run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        return leaving.code
assert train({str(tmp_path)!r}) == 0
os.umask(0o022), os.setgroups([4242]), os.setgid(4242), os.setuid({number})
os.environ["HOME"] = tempfile.mkdtemp()
sys.exit(train({str(shared)!r}))
"""
        run_well(run_command, shared, "-c", program, *TRAIN[1:], f"seed={seed}")
    assert [run.info.status for run in fetch_runs(shared)] == ["FINISHED"] * 2
    assert sorted(path.name for path in shared.iterdir()) == ["mlflow.db", "mlruns"]


def test_a_lock_that_a_killed_process_left_stops_nobody(tmp_path, run_command):
    (tmp_path / "mlflow.db.lock").touch()
    run_well(run_command, tmp_path, *TRAIN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlruns"]


# Started from elsewhere


def test_a_command_works_as_a_file_too(tmp_path):
    """As an editor's Run button starts it: from another folder, with the package not installed."""
    for name in ("train", "relocate"):
        done = subprocess.run(
            [sys.executable, PROJECT_DIR / "mnist_flow" / f"{name}.py", "--cfg", "job"],
            cwd=tmp_path,
            env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "tracking:" in done.stdout
    for path in (PROJECT_DIR / "mnist_flow").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert ("__main__" in text) == ("if not __package__:" in text), path


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["without pip", "without its Python", "another Python", "empty"])
def test_make_makes_an_environment_anew_that_was_left_broken(tmp_path, broken):
    folder = tmp_path / "my project (1) + ü"
    folder.mkdir()
    shutil.copy(PROJECT_DIR / "Makefile", folder)
    (folder / "requirements.txt").touch()
    python = os.path.realpath(sys.executable)
    environment = folder / ".venv"
    subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True)
    link = environment / "bin" / "python"
    if broken == "without its Python":
        link.unlink()
        link.symlink_to("/nowhere/python")
        (environment / ".ready-to-run").touch()
    elif broken == "another Python":
        link.unlink()
        link.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        link.chmod(0o755)
    elif broken == "empty":
        shutil.rmtree(environment)
        environment.mkdir()
    make = ["make", "--no-print-directory", f"PYTHON={python}", ".venv/.ready-to-run"]
    for _ in range(2):
        subprocess.run(make, cwd=folder, check=True, capture_output=True)
    assert (environment / ".ready-to-run").exists()
    subprocess.run([link, "-m", "pip", "--version"], check=True, capture_output=True)


def test_make_says_that_it_takes_no_blanks_in_names():
    done = subprocess.run(["make", "VENV=my env", "help"], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "VENV=my env: make takes no blanks in names; choose another" in done.stderr


@pytest.mark.parametrize("name", ["keras.py", "tensorflow.py", "pandas.py"])
def test_a_file_with_the_name_of_a_library_is_named(tmp_path, run_command, name):
    (tmp_path / name).write_text("x = 1\n")
    done = run_command(tmp_path, *TRAIN, fresh=True)
    assert done.returncode == 2
    expected = f"error: {tmp_path / name} is imported in place of the package of that name; rename it"
    assert done.stderr.splitlines()[-1] == expected
    assert "Traceback" not in done.stderr


def test_a_matplotlibrc_of_the_folder_changes_no_figure(tmp_path, run_command):
    """LaTeX is not installed here, and where it is would take seconds a figure."""
    pictures = []
    for settings in ("", "text.usetex: true\nfont.size: 30\naxes.grid: true\nsavefig.bbox: tight\n"):
        folder = tmp_path / str(len(pictures))
        folder.mkdir()
        (folder / "matplotlibrc").write_text(settings)
        for command in (
            TRAIN,
            EVALUATE[:-1],
            ("-m", "mnist_flow.analyze", "study=curves", "tracking.experiment_name=mnist_flow"),
        ):
            done = run_command(folder, *command, fresh=True)
            assert done.returncode == 0, done.stderr
        pictures.append({file.name: file.read_bytes() for file in folder.rglob("*.png")})
    assert pictures[0].keys() >= {"row_normalised.png", "epochs.png"}
    assert pictures[0] == pictures[1]
