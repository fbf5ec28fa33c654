"""The command line's edge, in process: exit statuses, what is printed, and the end of a sweep that Hydra left open."""

from __future__ import annotations

import copy
import errno
import os
import signal
import sys
from types import SimpleNamespace

import mlflow
import pytest
from hydra.core.config_store import ConfigStore

from commands import start_command
from mnist_flow import cli
from mnist_flow.errors import Aborted, BusyError, ConfigError, RunError, Terminated, UndeliveredError
from mnist_flow.runtime.signals import way_on_told
from mnist_flow.sweeps.session import get_session, open_session
from mnist_flow.train import main as train
from support import QUICK, find_checkpoints, wait_until


class FakeSweep:
    """Notes how it is ended; fails to end where an error is given."""

    def __init__(self, error=None):
        self.error = error
        self.ended = []
        self.interruptible = None

    def end(self, status):
        self.ended.append(status)
        self.interruptible = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        if self.error is not None:
            raise self.error


@pytest.fixture
def run_main(monkeypatch):
    """Call a main function as a command does; returns its exit status. All that a command changes is put back."""
    monkeypatch.setattr(sys, "argv", ["train"])
    monkeypatch.setattr(ConfigStore, "__deepcopy__", None, raising=False)
    for name in ("HYDRA_FULL_ERROR", "MNIST_FLOW_FULL_ERROR", "TF_CPP_MIN_LOG_LEVEL", *cli._QUIET):
        monkeypatch.setenv(name, "")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(main):
        streams = sys.stdout, sys.stderr
        try:
            with pytest.raises(SystemExit) as leaving:
                cli.run(main)
        finally:
            sys.stdout, sys.stderr = streams
        return leaving.value.code

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def raising(error, sweep=None):
    """A main function that opens a sweep and raises an error, as Hydra's does when a job fails."""

    def main():
        get_session().sweep = sweep
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "ended", "printed"),
    [
        (KeyboardInterrupt(), 130, "KILLED", "error: interrupted\n"),
        (Terminated(signal.SIGTERM), 143, "KILLED", "error: terminated\n"),
        (RunError("2 of 3 jobs failed"), 1, "FAILED", "error: 2 of 3 jobs failed\n"),
        (BusyError("it runs already"), 1, "FAILED", "error: it runs already\n"),
        (ConfigError("reg=-1: wrong"), 2, "FAILED", "error: reg=-1: wrong\n"),
        (SystemExit(3), 3, "FAILED", ""),
        (SystemExit("text"), 1, "FAILED", ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_command_ends_with_its_status_one_line_and_the_sweep_that_it_left_open(
    run_main, capsys, error, status, ended, printed
):
    sweep = FakeSweep()
    assert run_main(raising(error, sweep)) == status
    assert sweep.ended == [ended]
    assert capsys.readouterr().err == printed


def test_an_interruption_says_how_to_go_on_where_that_holds(run_main, capsys):
    def main(holds):
        with way_on_told("all of it goes on", holds=holds), way_on_told("a part of it goes on"):
            raise KeyboardInterrupt

    assert (run_main(lambda: main(True)), run_main(lambda: main(False))) == (130, 130)
    assert (
        capsys.readouterr().err == "error: interrupted; all of it goes on\nerror: interrupted; a part of it goes on\n"
    )


def test_an_error_that_was_carried_past_hydra_is_told_as_itself(run_main, capsys):
    def main():
        try:
            raise ConfigError("reg=-1: wrong")
        except ConfigError as error:
            raise Aborted from error

    assert run_main(main) == 2
    assert capsys.readouterr().err == "error: reg=-1: wrong\n"


def test_an_error_that_nobody_foresaw_shows_its_traceback(run_main, capsys):
    sweep = FakeSweep()
    assert run_main(raising(ValueError("a mistake"), sweep)) == 1
    assert sweep.ended == ["FAILED"]
    assert capsys.readouterr().err.startswith("Traceback (most recent call last):")


@pytest.mark.parametrize(("variable", "value"), [("HYDRA_FULL_ERROR", "1"), ("MNIST_FLOW_FULL_ERROR", "1")])
def test_who_wants_to_see_tracebacks_sees_them(run_main, capsys, monkeypatch, variable, value):
    assert run_main(raising(ConfigError("reg=-1: wrong"))) == 2
    assert "Traceback" not in capsys.readouterr().err
    for name in ("HYDRA_FULL_ERROR", "MNIST_FLOW_FULL_ERROR"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv(variable, value)
    assert run_main(raising(ConfigError("reg=-1: wrong"))) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_second_ctrl_c_does_not_leave_the_sweep_open(run_main):
    sweep = FakeSweep()
    run_main(raising(KeyboardInterrupt(), sweep))
    assert sweep.interruptible is False


def test_a_sweep_whose_record_is_not_taken_says_where_it_is_kept(run_main, capsys):
    sweep = FakeSweep(UndeliveredError("its record is kept in undelivered/1"))
    assert run_main(raising(KeyboardInterrupt(), sweep)) == 130
    assert capsys.readouterr().err == "error: interrupted\nerror: its record is kept in undelivered/1\n"


def test_a_command_that_ends_well_has_status_0(run_main, capsys):
    assert run_main(lambda: sys.stdout.write("done\n")) == 0
    assert capsys.readouterr() == ("done\n", "")


def test_a_sweep_that_has_ended_is_not_ended_again(run_main):
    sweep = FakeSweep()

    def main():
        get_session().sweep = sweep
        get_session().end_sweep("FINISHED")

    assert run_main(main) == 0
    assert sweep.ended == ["FINISHED"]


def test_credentials_are_hidden_on_stdout_and_stderr(run_main, capsys):
    def main():
        sys.stdout.write("at http://ada:sesame@example.org\n")
        sys.stderr.write("look http://ada:sesame@example.org\n")
        raise RunError("http://ada:sesame@example.org: does not answer")

    assert run_main(main) == 1
    out, err = capsys.readouterr()
    assert out == "at http://***@example.org\n"
    assert err == "look http://***@example.org\nerror: http://***@example.org: does not answer\n"


def test_credentials_are_hidden_in_tracebacks(run_main, capsys):
    run_main(raising(ValueError("http://ada:sesame@example.org")))
    err = capsys.readouterr().err
    assert "http://***@example.org" in err
    assert "sesame" not in err


def test_sigterm_is_heard_as_terminated(run_main):
    sweep = FakeSweep()

    def main():
        get_session().sweep = sweep
        signal.raise_signal(signal.SIGTERM)

    assert run_main(main) == 143
    assert sweep.ended == ["KILLED"]


def test_each_command_has_a_session_of_its_own(run_main):
    sessions = []
    for _ in range(2):
        run_main(lambda: sessions.append(get_session()))
    assert sessions[0] is not sessions[1]
    with pytest.raises(RuntimeError, match="a sweep needs a session"):
        get_session()


def test_a_sweep_without_a_session_is_refused():
    with open_session() as session:
        assert get_session() is session
    with pytest.raises(RuntimeError, match=r"through mnist_flow\.cli\.run"):
        get_session()


def test_hydra_copies_its_store_of_configs_for_each_config(compose_config, monkeypatch):
    """The reason why its copies share their content in a command; where Hydra stops copying it, that can go."""
    copies = []

    def share(store, memo):
        copies.append(store)
        return store

    monkeypatch.setattr(ConfigStore, "__deepcopy__", share, raising=False)
    compose_config("data=digits")
    assert copies


def test_the_store_of_configs_is_shared_in_a_command(run_main, capsys):
    shared = []
    run_main(lambda: shared.append(copy.deepcopy(ConfigStore.instance())))
    assert shared[0] is ConfigStore.instance()


@pytest.mark.parametrize(
    ("given", "seen"),
    [(["reg=0,1", "-m", "seed=1"], ["-m", "reg=0,1", "seed=1"]), (["--multirun"], ["--multirun"]), (["a=1"], ["a=1"])],
)
def test_multirun_is_put_before_the_overrides(run_main, monkeypatch, given, seen):
    monkeypatch.setattr(sys, "argv", ["train", *given])
    found = SimpleNamespace(arguments=None)

    def main():
        found.arguments = sys.argv[1:]

    run_main(main)
    assert found.arguments == seen


@pytest.mark.parametrize(
    ("command", "empty"),
    [
        *(("analyze", "study=glob(x*)"), ("evaluate", "batch_size=range(3,1)"), ("reproduce", "parts=glob(x*)")),
        *(("runs", "older_than=range(0)"), ("sync", "tracking.patience=range(3,1)"), ("relocate", "apply=range(0)")),
    ],
)
def test_a_sweep_over_nothing_is_refused_whatever_the_command(tmp_path, run_command, command, empty):
    module = f"mnist_flow.{command}"
    done = run_command(tmp_path, "-m", module, empty, "-m")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {empty}: has no values, and nothing would be done; ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.commands
@pytest.mark.parametrize(("launcher", "n_running"), [("basic", 1), ("local_pool", 2)])
def test_a_sweep_that_ctrl_c_ends_is_killed_with_its_jobs(tmp_path, launcher, n_running):
    arguments = (*QUICK, "epochs=100000", "reg=0,1e-5", f"hydra/launcher={launcher}")
    with (tmp_path / "errors.txt").open("w") as errors:
        process = start_command(tmp_path, "-m", "mnist_flow.train", "-m", *arguments, stderr=errors)
    wait_until(lambda: len(find_checkpoints(tmp_path)) == n_running)
    # On a terminal Ctrl-C reaches all processes of the command.
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) == 130
    printed = (tmp_path / "errors.txt").read_text()
    assert "error: interrupted; the same command goes on with what is missing\n" in printed
    assert "Traceback" not in printed
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist_flow")
    runs = client.search_runs([experiment.experiment_id])
    found = sorted((run.data.tags["mnist_flow.kind"], run.info.status) for run in runs)
    assert found == [("sweep", "KILLED")] + [("train", "KILLED")] * n_running


def test_called_from_python_with_a_config_a_command_raises_the_error_of_the_user(compose_config):
    with pytest.raises(ConfigError, match=r"^replicates=2: is for sweeps"):
        train(compose_config("data=digits", "replicates=2"))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("hydra.run.dir=/no/folder", "hydra.run.dir=/no/folder"),
        ("hydra.sweep.dir=/no/folder/x", "hydra.sweep.dir=/no/folder/x"),
        ("checkpoint_dir=/no/folder", None),
    ],
)
def test_only_a_folder_of_hydras_that_cant_be_made_is_bad_input(monkeypatch, typed, told):
    monkeypatch.setattr(sys, "argv", ["train", "seed=1", typed])
    error = PermissionError(errno.EACCES, "Permission denied", "/no/folder")
    assert cli._find_no_folder(error) == told
    assert cli._is_bad_input(error) is (told is not None)
