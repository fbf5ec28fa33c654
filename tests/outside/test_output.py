"""An output that can't be written never fails a run."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from commands import command_environment, start_command
from support import QUICK

TRAIN = ("-m", "mnist_flow.train")
# A short run that prints a line an epoch and a table.
SHORT = ("mnist_flow.train", *QUICK)
# Without a locale every text is ASCII, unless Python is told otherwise.
NO_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def assert_finished(folder: Path, n_runs: int = 1) -> None:
    """All runs are FINISHED, and the store is whole."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("mnist_flow").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * n_runs
    assert all(client.list_artifacts(run.info.run_id) for run in runs)


def test_a_reader_that_leaves_does_not_end_a_run(tmp_path):
    """As `| head -1` does."""
    read, write = os.pipe()
    with (tmp_path / "errors.txt").open("w") as errors:
        process = start_command(tmp_path, *TRAIN, *QUICK, "epochs=20", stdout=write, stderr=errors)
    os.close(write)
    assert os.read(read, 5) == b"epoch"
    os.close(read)
    assert process.wait(timeout=180) == 0
    assert (tmp_path / "errors.txt").read_text() == ""
    assert_finished(tmp_path)


@pytest.mark.parametrize("lost", [("stdout",), ("stderr",), ("stdout", "stderr")], ids=" and ".join)
def test_a_full_disk_for_the_log_does_not_end_a_run(tmp_path, lost):
    with open("/dev/full", "w", encoding="utf-8") as full, (tmp_path / "other.txt").open("w") as other:  # noqa: PTH123
        streams = {name: full if name in lost else other for name in ("stdout", "stderr")}
        # A second config that can't be had is an error line, which can't be written either.
        process = start_command(tmp_path, *TRAIN, *QUICK, **streams)
        assert process.wait(timeout=180) == 0
        assert start_command(tmp_path, *TRAIN, "epoch=1", **streams).wait(timeout=180) == 2
    written = (tmp_path / "other.txt").read_text()
    if lost == ("stdout",):
        assert written.count("standard output can't be written (No space left on device); the command goes on\n") == 1
    elif lost == ("stderr",):
        assert "test accuracy" in written
    assert_finished(tmp_path)


def test_a_sweep_whose_reader_leaves_is_finished_with_its_tables(tmp_path):
    read, write = os.pipe()
    os.close(read)
    process = start_command(tmp_path, *TRAIN, "-m", *QUICK, "seed=0,1", stdout=write, stderr=write)
    os.close(write)
    assert process.wait(timeout=180) == 0
    assert_finished(tmp_path, n_runs=3)


def test_streams_that_are_closed_do_not_end_a_run_and_nothing_is_written_into_its_store(tmp_path):
    """As `>&- 2>&- <&-` leaves them: the next file would get the number of standard output."""
    program = (
        "import os, runpy, sys; [os.close(number) for number in range(3)]; sys.stdin = sys.stdout = sys.stderr = None; "
        f"sys.argv = {[*SHORT]}; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    assert start_command(tmp_path, "-c", program).wait(timeout=180) == 0
    assert_finished(tmp_path)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (NO_LOCALE, "\\xb1"),
        pytest.param({"PYTHONIOENCODING": "ascii"}, "\\xb1", marks=pytest.mark.slow),
        pytest.param({"PYTHONIOENCODING": "latin-1"}, "±", marks=pytest.mark.slow),
        pytest.param({**NO_LOCALE, "PYTHONIOENCODING": "utf-8"}, "±", marks=pytest.mark.slow),
    ],
    ids=["no locale", "ascii", "latin-1", "no locale but UTF-8 for output"],
)
def test_an_encoding_without_a_character_does_not_end_a_sweep(tmp_path, variables, said):
    arguments = [sys.executable, *TRAIN, "-m", *QUICK, "epochs=1", "replicates=2"]
    done = subprocess.run(
        arguments, cwd=tmp_path, env=command_environment(**variables), capture_output=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f" {said} 0.".encode("latin-1" if variables.get("PYTHONIOENCODING") == "latin-1" else "utf-8") in done.stdout
    assert_finished(tmp_path, n_runs=3)


@pytest.mark.parametrize("command", [("train", "--help"), ("train", "--cfg", "job"), ("train", "plan=true", *QUICK)])
def test_a_reader_that_leaves_at_once_gets_no_traceback(tmp_path, command):
    read, write = os.pipe()
    os.close(read)
    with (tmp_path / "errors.txt").open("w") as errors:
        process = start_command(tmp_path, "-m", f"mnist_flow.{command[0]}", *command[1:], stdout=write, stderr=errors)
    os.close(write)
    assert process.wait(timeout=180) == 0
    assert (tmp_path / "errors.txt").read_text() == ""
