"""How tests start commands: forked ones behave as those that start from nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from commands import command_environment, end_leftovers, start_command
from support import QUICK, wait_until

# What a process is, as JSON on stdout.
DESCRIBE = """
import json, os, sys
print(json.dumps({
    "imported": "tensorflow" in sys.modules,
    "threads": len(os.listdir("/proc/self/task")),
    "folder": os.getcwd(),
    "arguments": sys.argv,
    "path": sys.path[:2],
    "variables": dict(os.environ),
    "leads": os.getpid() == os.getsid(0) == os.getpgid(0),
    "open": sorted(int(name) for name in os.listdir("/proc/self/fd")),
}))
"""
FRESH = pytest.mark.parametrize("fresh", [False, True], ids=["forked", "fresh"])


def describe(run_command, folder, *arguments, **options):
    done = run_command(folder, "-c", DESCRIBE, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@FRESH
@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('no')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(4)", 4),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os; os.abort()", -signal.SIGABRT),
        ("raise KeyboardInterrupt", -signal.SIGINT),
    ],
)
def test_the_exit_status_is_that_of_the_process(tmp_path, run_command, fresh, program, status):
    assert run_command(tmp_path, "-c", program, fresh=fresh).returncode == status


@FRESH
def test_stdout_and_stderr_are_kept_apart_and_are_complete(tmp_path, run_command, fresh):
    program = """
    import atexit, os, subprocess, sys, threading, time
    atexit.register(print, "at the end")
    def go_on():
        time.sleep(0.2)
        print("a thread")
    threading.Thread(target=go_on).start()
    print("first", flush=True)
    print("warning", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo a child; echo its error >&2"])
    os.write(1, b"native\\n")
    print("é" * 100_000)
    1 / 0
    """
    done = run_command(tmp_path, "-c", textwrap.dedent(program), fresh=fresh)
    assert done.stdout.splitlines() == ["first", "a child", "native", "é" * 100_000, "a thread", "at the end"]
    errors = done.stderr.splitlines()
    assert errors[:3] == ["warning", "its error", "Traceback (most recent call last):"]
    assert errors[-1] == "ZeroDivisionError: division by zero"


def test_a_forked_process_differs_from_a_fresh_one_in_what_is_imported_alone(tmp_path, run_command):
    forked, fresh = (describe(run_command, tmp_path, "x=1", "-m", fresh=fresh) for fresh in (False, True))
    assert (forked.pop("imported"), fresh.pop("imported")) == (True, False)
    # Those of the linear algebra end with the fork.
    assert (forked.pop("threads"), fresh.pop("threads")) == (1, 1)
    # The server's own are closed; what libraries open when they are imported stays open.
    assert set(fresh["open"]) == set(range(4))
    assert len(set(forked.pop("open")) - set(fresh.pop("open"))) <= 2
    assert forked == fresh
    assert forked["leads"]
    assert forked["folder"] == str(tmp_path)
    assert forked["arguments"] == ["-c", "x=1", "-m"]


def test_no_command_sees_what_another_one_changed(tmp_path, run_command):
    first = tmp_path / "first"
    first.mkdir()
    change = (
        "import os, sys, tempfile, mlflow, numpy as np; os.environ['LEFT'] = 'x'; os.chdir('/'); "
        "sys.path.insert(0, 'x'); mlflow.set_tracking_uri('sqlite:///x.db'); tempfile.gettempdir(); "
        "print(np.random.rand())"
    )
    changed = run_command(first, "-c", change, GIVEN="y")
    assert changed.returncode == 0, changed.stderr
    seen = describe(run_command, tmp_path)
    assert seen["folder"] == str(tmp_path)
    assert seen["path"][0] == ""
    assert not {"LEFT", "GIVEN"} & set(seen["variables"])
    ask = (
        "import mlflow, tempfile, numpy as np; print(mlflow.is_tracking_uri_set(), tempfile.gettempdir()); "
        "print(np.random.rand())"
    )
    answer, number = run_command(tmp_path, "-c", ask, TMPDIR=str(first)).stdout.splitlines()
    assert answer == f"False {first}"
    assert number != changed.stdout.strip()
    assert list(first.iterdir()) == []


@pytest.mark.parametrize("test", ["one", "next one"])
def test_a_variable_that_is_set_in_one_test_is_not_in_the_next(test):
    """Both run one after the other in the same process."""
    assert "LEFT_BEHIND" not in os.environ
    os.environ["LEFT_BEHIND"] = test


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["-c"], {"OMP_NUM_THREADS": "7"}),
        (["-c"], {"TF_CPP_MIN_LOG_LEVEL": "0"}),
        (["-c"], {"PYTHONPATH": "/elsewhere"}),
        (["-W", "ignore", "-c"], {}),
    ],
)
def test_what_is_read_when_libraries_are_imported_makes_a_command_start_from_nothing(
    tmp_path, run_command, arguments, variables
):
    done = run_command(tmp_path, *arguments, DESCRIBE, **variables)
    described = json.loads(done.stdout)
    assert not described["imported"]
    assert described["variables"].items() >= variables.items()


def test_a_module_is_run_as_python_does(tmp_path, run_command):
    forked, fresh = (
        run_command(tmp_path, "-m", "mnist_flow.train", "--cfg", "hydra", "reg=1e-5", fresh=fresh)
        for fresh in (False, True)
    )
    assert fresh.returncode == 0
    assert (forked.stdout, forked.stderr) == (fresh.stdout, fresh.stderr)


@pytest.mark.slow
@pytest.mark.launchers
def test_a_run_that_starts_from_nothing_gives_the_same_numbers_and_params(tmp_path, run_command):
    import mlflow

    seen = []
    for fresh in (False, True):
        folder = tmp_path / str(fresh)
        folder.mkdir()
        done = run_command(folder, "-m", "mnist_flow.train", *QUICK, fresh=fresh)
        assert (done.returncode, done.stderr) == (0, "")
        client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
        numbers = {name: value for name, value in run.data.metrics.items() if "seconds" not in name}
        tags = {name: run.data.tags[name] for name in ("mlflow.source.name", "mnist_flow.fingerprint")}
        seen.append((numbers, run.data.params, tags))
    assert seen[0] == seen[1]


@FRESH
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_the_process(tmp_path, fresh, sent):
    program = "import pathlib, time; pathlib.Path('ready').touch(); time.sleep(60)"
    command = start_command(tmp_path, "-c", program, fresh=fresh)
    wait_until((tmp_path / "ready").exists)
    assert command.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        command.wait(timeout=0.1)
    assert psutil.Process(command.pid).status() == psutil.STATUS_SLEEPING
    command.send_signal(sent)
    assert command.wait(timeout=30) == -sent
    assert not psutil.pid_exists(command.pid)
    command.kill()  # again: nobody is hit
    assert command.poll() == -sent


def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path, run_command):
    program = "import subprocess; subprocess.run(['sh', '-c', 'echo $$ > pid; sleep 60'])"
    with pytest.raises(subprocess.TimeoutExpired):
        run_command(tmp_path, "-c", program, timeout=2)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(pid), seconds=20)


def test_commands_run_side_by_side(tmp_path):
    program = (
        "import pathlib, sys, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)\nsys.exit(int(sys.argv[1]))"
    )
    commands = [start_command(tmp_path, "-c", program, str(number)) for number in range(5)]
    time.sleep(0.2)
    assert [command.poll() for command in commands] == [None] * 5
    (tmp_path / "go").touch()
    assert [command.wait(timeout=60) for command in commands] == list(range(5))


def test_what_outlives_its_command_is_named_and_killed(tmp_path, run_command, monkeypatch):
    monkeypatch.setenv("MNIST_FLOW_TEST_SESSION", "of this test")
    program = "import subprocess; subprocess.Popen(['sleep', '61'], start_new_session=True)"
    assert run_command(tmp_path, "-c", program, fresh=True).returncode == 0
    (named,) = end_leftovers(seconds=0)
    assert named.endswith(" sleep 61")
    assert end_leftovers(seconds=20) == []


def test_all_commands_end_when_the_process_of_the_tests_is_killed(tmp_path):
    program = textwrap.dedent("""
        import pathlib, sys, time
        from commands import start_command
        here = pathlib.Path.cwd()
        command = start_command(here, "-c", "import subprocess; subprocess.run(['sleep', '62'])", fresh=True)
        (here / "pids").write_text(f"{command.pid}")
        time.sleep(60)
    """)
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env=command_environment(PYTHONPATH=path)
    ) as tests:
        wait_until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text(), seconds=30)
        command = psutil.Process(int((tmp_path / "pids").read_text()))
        server = command.parent()
        wait_until(command.children, seconds=30)
        sleeping = command.children()
        tests.kill()
    _, alive = psutil.wait_procs([server, command, *sleeping], timeout=30)
    assert alive == []
