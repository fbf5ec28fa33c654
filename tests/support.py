"""What several test modules share."""

import functools
import inspect
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from commands import PROJECT_DIR, command_environment, run_command
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.runtime.processes import describe_process
from mnist_flow.tracking import histories, past

# A browser, where there is one.
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# One run on the digits in a second or two, of which figures would be another half.
QUICK = [
    *("data=digits", "model=mlp", "model.hidden_units=[16]", "epochs=2", "batch_size=32"),
    "tracking.log_figures=false",
]

# Data sets that networks are built for: as MNIST is, of more classes, and of larger images in colour.
MNIST = DatasetInfo("mnist", "nowhere", "0" * 16, (28, 28, 1), tuple("0123456789"))
LETTERS = DatasetInfo("letters", "nowhere", "1" * 16, (28, 28, 1), tuple("abcdefghijklmnopqrstuvwxyz"))
COLOUR = DatasetInfo("colour", "nowhere", "2" * 16, (32, 32, 3), ("cat", "dog", "frog"))

# Processes as mnist_flow names them: one of this machine that is gone, since no process has that number, and
# one of another machine.
DEAD_PROCESS = "/".join([*describe_process().split("/")[:2], "4194305", "0.00"])
PROCESS_ELSEWHERE = "elsewhere/0a1b2c3d-4026531836/4242/1763720000.51"


def list_imports(importtime: str) -> set[str]:
    """Top-level packages in what `python -X importtime` wrote to stderr."""
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in importtime.splitlines() if "|" in line}


def ask_at_exit(folder: Path, question: str, *arguments: str, setup: str = "", fresh: bool = False) -> Any:
    """What a command's main process answers when it ends, which must be well.

    Args:
        folder: to run it in.
        question: a Python expression whose value JSON can hold.
        arguments: of `python -m`.
        setup: Python statements before the command begins.
        fresh: start from nothing, not from a process that has imported everything.
    """
    program = (
        f"import atexit, gc, json, pathlib, runpy, sys; sys.path.append({str(PROJECT_DIR / 'tests')!r}); {setup}\n"
        f"atexit.register(lambda: pathlib.Path('answer.json').write_text(json.dumps({question})))\n"
        "sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    done = run_command(folder, "-c", program, *arguments, fresh=fresh)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "answer.json").read_text())


def list_modules(folder: Path, *arguments: str) -> set[str]:
    """Names of all modules that a command's main process has imported at its end, started from nothing."""
    return set(ask_at_exit(folder, "list(sys.modules)", *arguments, fresh=True))


def count_calls(monkeypatch: pytest.MonkeyPatch, *methods: tuple[type, str]) -> Counter[str]:
    """From now on counts calls of methods, each a class and a name, by name."""
    calls: Counter[str] = Counter()

    def watch(method: Callable[..., object], name: str) -> Callable[..., object]:
        @functools.wraps(method)
        def call(*arguments: object, **options: object) -> object:
            calls[name] += 1
            return method(*arguments, **options)

        return call

    for owner, name in methods:
        monkeypatch.setattr(owner, name, watch(getattr(owner, name), name))
    return calls


def watch_store(replace: Callable[[type, str, object], None] = setattr) -> Counter[str]:
    """From now on counts what this process asks of MLflow's SQLite store, by method.

    What a method asks of another one is not counted: only its own question would go over the network to a server.

    Args:
        replace: a method, as `monkeypatch.setattr` does.
    """
    calls: Counter[str] = Counter()
    inside = threading.local()

    def watch(method: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(method)
        def call(*arguments: object, **options: object) -> object:
            if getattr(inside, "method", False):
                return method(*arguments, **options)
            calls[method.__name__] += 1
            inside.method = True
            try:
                return method(*arguments, **options)
            finally:
                inside.method = False

        return call

    for name, method in inspect.getmembers(SqlAlchemyStore, inspect.isfunction):
        if not name.startswith("_"):
            replace(SqlAlchemyStore, name, watch(method))
    # What is read by columns is one of MLflow's searches where the store is a server.
    for module, name in ((past, "select_runs"), (histories, "select_points")):
        replace(module, name, watch(getattr(module, name)))
    return calls


def count_store_calls(folder: Path, *arguments: str) -> Counter[str]:
    """What a command's main process asks of MLflow's store, see `watch_store`; as `ask_at_exit`."""
    setup = "from support import watch_store; calls = watch_store()"
    return Counter(ask_at_exit(folder, "calls", *arguments, setup=setup))


def find_checkpoints(folder: Path) -> set[Path]:
    """The checkpoint folders of runs that a folder's commands train; for a moment each may hold two epochs' files."""
    return {file.parent for file in folder.glob("checkpoints/*/epoch-*.npz")}


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something that another process does.

    Raises:
        TimeoutError: it does not happen in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing after {seconds} s")
        time.sleep(0.1)


@contextmanager
def mount_disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk of its own in a new folder, with tmpfs's options; the test is skipped where nothing may be mounted."""
    folder.mkdir()
    with _mounted(["-t", "tmpfs", "-o", options, "tmpfs"], folder):
        yield folder


@contextmanager
def made_read_only(folder: Path) -> Iterator[None]:
    """In the block nobody can write what is in the folder; the test is skipped where nothing may be mounted."""
    with _mounted(["--bind", "-o", "ro", str(folder)], folder):
        yield


@contextmanager
def _mounted(arguments: list[str], folder: Path) -> Iterator[None]:
    command = ["mount", *arguments, str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def find_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def assert_is_a_finished_sweep(
    client: mlflow.MlflowClient, experiment_name: str, n_jobs: int
) -> list[mlflow.entities.Run]:
    """The experiment holds a parent run and its jobs, all FINISHED and with artifacts. Returns the runs of jobs."""
    experiment = client.get_experiment_by_name(experiment_name)
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * (n_jobs + 1)
    (parent,) = [run for run in runs if run.data.tags["mnist_flow.kind"] == "sweep"]
    jobs = [run for run in runs if run is not parent]
    for job in jobs:
        assert job.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert "test_accuracy" in job.data.metrics
        folders = {artifact.path for artifact in client.list_artifacts(job.info.run_id)}
        assert {"config", "confusion_matrix", "predictions"} <= folders
    models = client.search_logged_models([experiment.experiment_id])
    assert {model.source_run_id for model in models} == {job.info.run_id for job in jobs}
    return jobs


@contextmanager
def serve_model(folder: Path, model_uri: str, **variables: str) -> Iterator[Callable[[dict[str, Any]], Any]]:
    """MLflow's own scoring server, started in a folder; gives a function from a body to the answer, over HTTP."""
    port = find_free_port()
    serve = ["-m", "mlflow", "models", "serve", "--env-manager", "local", "--port", str(port), "--model-uri", model_uri]
    with (folder / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, *serve],
            cwd=folder,
            env=command_environment(**variables),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def ask(body: dict[str, Any]) -> Any:
        answer = requests.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def is_up() -> bool:
        assert server.poll() is None, (folder / "serve.log").read_text()
        try:
            return requests.get(f"http://127.0.0.1:{port}/ping", timeout=60).ok
        except requests.ConnectionError:
            return False

    try:
        # It imports TensorFlow first.
        wait_until(is_up)
        yield ask
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


class MlflowServer:
    """A real `mlflow server` that passes artifacts on; killed, it can be started again on the same port and folder.

    Its store is mlflow.db in the folder unless `options` say otherwise; server.log there is what it said.
    """

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.port = find_free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--workers", "1", "--serve-artifacts", "--artifacts-destination", str(folder / "artifacts"), *options),
        ]
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                # Without the seven processes of a service that no test asks for.
                env=command_environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", **self._variables),
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that its workers can be signalled with it
            )
        deadline = time.monotonic() + 90
        while True:
            try:
                requests.get(f"{self.uri}/health", timeout=5).raise_for_status()
                return
            except requests.RequestException:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError((self.folder / "server.log").read_text()[-3000:]) from None
                time.sleep(0.2)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it take connections and answer nothing."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)
        yield
        os.killpg(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it as an operator would; nothing when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would; nothing when it does not run."""
        self._end(signal.SIGKILL)

    def _end(self, sent: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        for wanted in (sent, signal.SIGKILL):
            try:
                os.killpg(process.pid, wanted)
                process.wait(timeout=20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


class AuthenticatedServer(MlflowServer):
    """An `mlflow server` that asks for a user and a password; at first there is one user, admin."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(exist_ok=True)
        # A fresh one each time, so that a test which finds it in a file has found a leak.
        self.password = secrets.token_urlsafe(16)
        config = folder / "auth.ini"
        config.write_text(
            "[mlflow]\n"
            "default_permission = READ\n"
            f"database_uri = sqlite:///{folder / 'users.db'}\n"
            "admin_username = admin\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        super().__init__(
            folder,
            *("--app-name", "basic-auth", *options),
            MLFLOW_AUTH_CONFIG_PATH=str(config),
            MLFLOW_AUTH_ADMIN_PASSWORD=self.password,
            MLFLOW_FLASK_SERVER_SECRET_KEY=secrets.token_hex(),
        )

    @property
    def credentials(self) -> dict[str, str]:
        """The environment variables of who may log."""
        return {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": self.password}

    def add_user(self, name: str) -> dict[str, str]:
        """Add a user who may read everything and write what is their own; returns their environment variables."""
        password = secrets.token_urlsafe(16)
        answer = requests.post(
            f"{self.uri}/api/2.0/mlflow/users/create",
            json={"username": name, "password": password},
            auth=("admin", self.password),
            timeout=60,
        )
        answer.raise_for_status()
        return {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}
