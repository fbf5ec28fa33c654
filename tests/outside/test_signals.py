"""A signal, a lost terminal, a process that died: the record of each run stays true."""

from __future__ import annotations

import os
import pty
import signal
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import mlflow
import psutil
import pytest

from commands import Command, start_command
from mnist_flow.tracking import names
from support import DEAD_PROCESS, PROCESS_ELSEWHERE, QUICK, find_checkpoints, wait_until

TRAIN = ("-m", "mnist_flow.train")
# It does not end by itself.
LONG = (*QUICK, "epochs=100000")
POOL = ("-m", "seed=0,1", "hydra/launcher=local_pool", "hydra.launcher.n_jobs=2")


def connect(folder: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def fetch_statuses(folder: Path) -> list[tuple[str, str]]:
    """Kind and status of all runs, sorted."""
    client = connect(folder)
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return sorted((run.data.tags["mnist_flow.kind"], run.info.status) for run in runs)


def start_long(folder: Path, *arguments: str, n_running: int = 1) -> Command:
    """Start a command that trains for ever, and wait until it does; what it says is in output.txt."""
    with (folder / "output.txt").open("w") as output:
        process = start_command(folder, *arguments, stdout=output, stderr=output)
    wait_until(lambda: len(find_checkpoints(folder)) == n_running)
    return process


def read_errors(folder: Path) -> list[str]:
    return [line for line in (folder / "output.txt").read_text().splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("number", "line"),
    [(signal.SIGHUP, "error: the terminal is gone"), (signal.SIGQUIT, "error: quit")],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_run_that_a_signal_ends_is_killed_and_keeps_its_checkpoint(tmp_path, run_command, number, line):
    process = start_long(tmp_path, *TRAIN, *LONG)
    # The shell and the terminal may both send it.
    process.send_signal(number)
    process.send_signal(number)
    assert process.wait(timeout=180) == 128 + number
    assert read_errors(tmp_path) == [f"{line}; the same command goes on from the last finished epoch"]
    assert fetch_statuses(tmp_path) == [("train", "KILLED")]
    assert "Traceback" not in (tmp_path / "output.txt").read_text()
    assert len(find_checkpoints(tmp_path)) == 1
    planned = run_command(tmp_path, *TRAIN, *LONG, "plan=true")
    assert "goes on" in planned.stdout


@pytest.mark.parametrize("whole_group", [False, True])
def test_a_closed_terminal_ends_a_sweep_with_its_jobs_and_leaves_no_process(tmp_path, whole_group):
    """Of the group's own terminal all processes are told; of another one only the first."""
    process = start_long(tmp_path, *TRAIN, *LONG, *POOL, n_running=2)
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 3
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGHUP)
    assert process.wait(timeout=180) == 129
    assert psutil.wait_procs(started, timeout=15)[1] == []
    assert read_errors(tmp_path) == ["error: the terminal is gone; the same command goes on with what is missing"]
    assert fetch_statuses(tmp_path) == [("sweep", "KILLED")] + [("train", "KILLED")] * 2


@pytest.mark.parametrize(
    ("number", "whole_group", "status", "line"),
    [(signal.SIGINT, True, 130, "interrupted"), (signal.SIGTERM, False, 143, "terminated")],
    ids=["Ctrl-C", "kill"],
)
def test_a_reproduction_ends_the_sweep_that_it_has_started(tmp_path, number, whole_group, status, line):
    settings = "overrides=['data=digits','epochs=100000','seed=0','optimizer.learning_rate=0.1,0.2']"
    chosen = ("parts=[holdout]", "presets=[learning_rate_holdout]", settings, "output_dir=out")
    process = start_long(tmp_path, "-m", "mnist_flow.reproduce", *chosen, n_running=2)
    started = psutil.Process(process.pid).children(recursive=True)
    (os.killpg if whole_group else os.kill)(process.pid, number)
    assert process.wait(timeout=180) == status
    assert psutil.wait_procs(started, timeout=15)[1] == []
    assert read_errors(tmp_path)[-1] == f"error: {line}; the same command goes on with what is missing"
    assert fetch_statuses(tmp_path) == [("sweep", "KILLED")] + [("train", "KILLED")] * 2


def test_sigquit_ends_a_sweep_of_one_process_too(tmp_path):
    process = start_long(tmp_path, *TRAIN, *LONG, "-m", "seed=0,1")
    process.send_signal(signal.SIGQUIT)
    assert process.wait(timeout=180) == 131
    assert fetch_statuses(tmp_path) == [("sweep", "KILLED"), ("train", "KILLED")]


def test_a_signal_before_anything_is_begun_leaves_nothing_open(tmp_path):
    with (tmp_path / "output.txt").open("w") as output:
        process = start_command(tmp_path, *TRAIN, *LONG, *POOL, stdout=output, stderr=output)
    wait_until(lambda: psutil.Process(process.pid).children())
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=180) == 129
    assert psutil.wait_procs(started, timeout=15)[1] == []
    if (tmp_path / "mlflow.db").exists() and connect(tmp_path).get_experiment_by_name("mnist_flow"):
        assert ("sweep", "RUNNING") not in fetch_statuses(tmp_path)


def run_without_terminal(setup: str) -> tuple[str, ...]:
    """The arguments of Python for a short training after some statements."""
    arguments = ["mnist_flow.train", *QUICK, "epochs=40"]
    program = f"{setup}; import runpy, sys; sys.argv = {arguments}; runpy.run_module(sys.argv[0], run_name='__main__')"
    return "-c", program


def test_nohup_lets_a_run_go_on(tmp_path):
    program = run_without_terminal("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    process = start_long(tmp_path, *program)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=180) == 0
    assert fetch_statuses(tmp_path) == [("train", "FINISHED")]


@pytest.mark.parametrize(("ignored", "status", "ended"), [(False, 129, "KILLED"), (True, 0, "FINISHED")])
def test_a_terminal_that_is_closed_ends_a_run_unless_it_ignores_that(tmp_path, ignored, status, ended):
    """The progress bar, the log and the summary can't be written then."""
    ours, theirs = pty.openpty()
    setup = "import fcntl, signal, termios; fcntl.ioctl(1, termios.TIOCSCTTY, 0)"
    if ignored:
        setup += "; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    process = start_command(tmp_path, *run_without_terminal(setup), stdout=theirs, stderr=theirs)
    os.close(theirs)
    # Somebody has to read, or the terminal's buffer fills up.
    os.set_blocking(ours, False)

    def has_begun() -> bool:
        with suppress(BlockingIOError):
            os.read(ours, 65536)
        return bool(find_checkpoints(tmp_path))

    wait_until(has_begun)
    os.close(ours)
    assert process.wait(timeout=180) == status
    assert fetch_statuses(tmp_path) == [("train", ended)]


# What died before


@pytest.fixture(scope="module")
def finished(tmp_path_factory, run_command):
    """A folder with a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    done = run_command(folder, *TRAIN, *QUICK)
    assert done.returncode == 0, done.stderr
    return folder


SHORT = ("measure=rotation", "measure.rotation.degrees=[0]")


@pytest.mark.parametrize(
    "command",
    [
        ("train", *QUICK, "seed=1"),
        ("train", *QUICK),
        ("train", "-m", *QUICK, "seed=0"),
        ("evaluate", *SHORT),
        ("analyze", "study=curves", "tracking.experiment_name=mnist_flow"),
        ("sync",),
        ("reproduce", "presets=[mlp_64_64]", "overrides=['data=digits']", "output_dir=out", "plan=true"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_every_command_closes_what_died_before_and_nothing_that_lives(finished, run_command, command):
    client = connect(finished)
    own = client.get_experiment_by_name("mnist_flow").experiment_id
    other = client.get_experiment_by_name("other")
    other_id = other.experiment_id if other else client.create_experiment("other")
    now = str(int(time.time()))

    def add(experiment_id: str, kind: str, process: str, heartbeat: str) -> str:
        tags = {"mnist_flow.kind": kind, names.PROCESS_TAG: process, names.HEARTBEAT_TAG: heartbeat}
        return client.create_run(experiment_id, tags=tags).info.run_id

    dead = [add(own, kind, DEAD_PROCESS, now) for kind in ("train", "sweep", "evaluation")]
    if command[0] != "train":  # It asks of its own experiment only, since a question more is dear far from the server.
        dead.append(add(other_id, "train", DEAD_PROCESS, now))
    # It lives as far as can be told from here; of another experiment others say how long a silence may be.
    living = [add(own, "train", PROCESS_ELSEWHERE, now), add(other_id, "train", PROCESS_ELSEWHERE, "0")]
    done = run_command(finished, "-m", f"mnist_flow.{command[0]}", *command[1:])
    assert done.returncode == 0, done.stderr
    assert "marked KILLED, since their processes are gone: " in done.stderr
    assert {client.get_run(run_id).info.status for run_id in dead} == {"KILLED"}
    assert [client.get_run(run_id).info.status for run_id in living] == ["RUNNING"] * 2
    for run_id in (*dead, *living):
        client.delete_run(run_id)


def test_a_killed_evaluation_is_closed_by_the_same_command_which_measures_anew(finished, run_command):
    options = ("measure=gaussian", "measure.gaussian.draws=100000")
    process = start_command(finished, "-m", "mnist_flow.evaluate", *options)

    def is_measuring() -> bool:
        with closing(sqlite3.connect(finished / "mlflow.db")) as store:
            query = "SELECT count(*) FROM runs WHERE status = 'RUNNING' AND name LIKE 'gaussian of %'"
            return store.execute(query).fetchone()[0] == 1

    wait_until(is_measuring)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = run_command(finished, "-m", "mnist_flow.evaluate", "measure=gaussian", "measure.gaussian.stddevs=[0]")
    assert done.returncode == 0, done.stderr
    assert "marked KILLED, since their processes are gone: evaluation run: 1" in done.stderr
    assert not [one for one in fetch_statuses(finished) if one == ("evaluation", "RUNNING")]


def test_an_evaluation_that_a_signal_ends_is_killed(finished):
    process = start_command(
        finished, "-m", "mnist_flow.evaluate", "measure=salt_and_pepper", "measure.salt_and_pepper.draws=100000"
    )
    before = fetch_statuses(finished).count(("evaluation", "KILLED"))
    wait_until(lambda: ("evaluation", "RUNNING") in fetch_statuses(finished))
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=180) == 129
    assert fetch_statuses(finished).count(("evaluation", "KILLED")) == before + 1
