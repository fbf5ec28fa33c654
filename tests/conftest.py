"""The real config, shrunk; temporary tracking stores; the command line in a subprocess."""

from __future__ import annotations

import copy
import gc
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import mlflow
import pytest
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure
from omegaconf import DictConfig
from syrupy.assertion import SnapshotAssertion

import commands
from fitting import load_digits
from mnist_flow import CONF_DIR
from mnist_flow.data.dataset import Images
from mnist_flow.tracking.experiments import make_sqlite_store
from outputs import hide_varying
from pictures import describe_figure
from support import AuthenticatedServer, MlflowServer, command_environment, mount_disk

ServerT = TypeVar("ServerT", bound=MlflowServer)
RunCommand = Callable[..., subprocess.CompletedProcess[str]]


# What the tests of a file use that takes long, longest first: they start commands, or they train in this process.
TAKES_LONG = ({"run_command", "start_command"}, {"fit", "run_experiment", "train_config"})


# Whose commands `make test` starts, too: the main one's, and those by which tests start any.
MAIN_COMMANDS = ("test_train.py", "test_commands.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start commands, for `make test-commands`, and put the files that take longest first.

    Each process of `make test` takes whole files, and none should end late: those that start commands come before
    those that train, and these before all others.
    """
    for item in items:
        if "run_command" in getattr(item, "fixturenames", ()) and item.path.name not in MAIN_COMMANDS:
            item.add_marker("commands")
    ranks: dict[Path, int] = {}
    for item in items:
        used = {*item.fixturenames, *vars(item.module)}
        rank = next((rank for rank, names in enumerate(TAKES_LONG) if names & used), len(TAKES_LONG))
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: ranks[item.path])


@pytest.fixture(autouse=True, scope="session")
def all_processes_end() -> Iterator[None]:
    """What tests start must not outlive them."""
    commands.mark_processes()
    yield
    leftovers = commands.end_leftovers()
    commands.stop_fork_server()
    assert not leftovers, f"the tests left processes behind, which are killed now: {leftovers}"


@pytest.fixture
def ctrl_c_raises() -> Iterator[None]:
    """Whatever the process that started the tests ignores."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """TensorFlow fixes its threads at the first operation, which may be any test's."""
    from mnist_flow.training.devices import configure_tensorflow

    configure_tensorflow(threads=1)


@pytest.fixture(autouse=True, scope="module")
def garbage_is_of_this_module() -> None:
    """TensorFlow keeps the graphs of all trainings, and Keras looks for garbage among them before the next one.

    After hundreds of trainings that takes longer than a training; what earlier modules left is not looked at again.
    """
    gc.collect()
    gc.freeze()


def forget_tracking_variables() -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]


@pytest.fixture(autouse=True, scope="session")
def interrupts_are_heard() -> None:
    """A shell that runs the tests in the background lets them, and all that they start, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def no_variables_of_the_shell() -> None:
    """Those of the shell that runs the tests must not lead runs elsewhere."""
    forget_tracking_variables()


@pytest.fixture(autouse=True)
def no_variables_of_other_tests() -> Iterator[None]:
    """What a test sets, or what is called in it, ends with it.

    `mlflow.set_experiment` sets a variable for the whole process, and what comes next would log there; the functions
    for notebooks set others, with which commands of later tests would start from nothing.
    """
    with patch.dict(os.environ):
        yield
    forget_tracking_variables()


@cache
def compose_once(config_name: str, overrides: tuple[str, ...]) -> DictConfig:
    """Hydra takes a fifth of a second, and many tests begin with the same config."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return compose(config_name, list(overrides))


@pytest.fixture
def compose_config() -> Callable[..., DictConfig]:
    """Compose a config of conf/ with overrides; it is the test's own."""

    def compose_overrides(*overrides: str, config_name: str = "config") -> DictConfig:
        return copy.deepcopy(compose_once(config_name, overrides))

    return compose_overrides


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store, to be copied."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    make_sqlite_store(file)
    return file


@pytest.fixture
def store(tmp_path: Path, new_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mlflow.MlflowClient]:
    """An empty SQLite store in a working directory of its own, as MLflow makes it by default."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mlflow.db"
    shutil.copy(new_store, file)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", [str(tmp_path / "mlruns" / "0")])
    uri = f"sqlite:///{file}"
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient(uri)
    mlflow.set_tracking_uri(None)


@pytest.fixture
def client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mlflow.MlflowClient]:
    """Of the store in `folder`, which is a module's own; there the test works, too."""
    monkeypatch.chdir(folder)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient(uri)
    mlflow.set_tracking_uri(None)


def serve(server: ServerT) -> Iterator[ServerT]:
    server.start()
    yield server
    server.stop()


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[MlflowServer]:
    """A tracking server that runs, with its store in the folder `server`."""
    yield from serve(MlflowServer(tmp_path / "server"))


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """The same, one for all tests of a file."""
    yield from serve(MlflowServer(tmp_path_factory.mktemp("server")))


@pytest.fixture
def authenticated_server(tmp_path: Path) -> Iterator[AuthenticatedServer]:
    """The same, and it asks for a password."""
    yield from serve(AuthenticatedServer(tmp_path / "server"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    with mount_disk(tmp_path / "disk", "size=64k") as disk:
        yield disk


@pytest.fixture
def other_process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process of this machine, which lives, and what it calls itself."""
    program = (
        "from mnist_flow.runtime.processes import describe_process; print(describe_process(), flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=command_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def has_snapshots(test: pytest.Item) -> bool:
    """Slow tests train, and what several processes say varies."""
    return not any(test.get_closest_marker(name) for name in ("slow", "commands"))


@pytest.fixture
def pictures(request: pytest.FixtureRequest, snapshot: SnapshotAssertion) -> Iterator[None]:
    """All figures that the test makes are those of its snapshot; see `has_snapshots`.

    A change that is meant: look at the figures, then `pytest --snapshot-update` with the test's file.
    """
    made: list[Figure] = []

    def make(figure: Figure, *args: object, **kwargs: object) -> None:
        initialize(figure, *args, **kwargs)
        made.append(figure)

    initialize = Figure.__init__
    with patch.object(Figure, "__init__", make):
        yield
    if made and has_snapshots(request.node):
        assert "\n".join(line for figure in made for line in describe_figure(figure)) == snapshot


@pytest.fixture
def output(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    snapshot: SnapshotAssertion,
) -> Iterator[None]:
    """All that the test's calls print and log is what its snapshot says; see `has_snapshots`."""
    told: list[str] = []
    read = capsys.readouterr

    def read_and_keep() -> tuple[str, str]:
        told.append((result := read()).out)
        return result

    monkeypatch.setattr(capsys, "readouterr", read_and_keep)
    yield
    read_and_keep()
    told += [f"{one.levelname} {one.getMessage()}" for one in caplog.get_records("call")]
    text = hide_varying("\n".join(told), tmp_path)
    if text and has_snapshots(request.node):
        assert text == snapshot


@pytest.fixture(scope="session")
def run_command() -> RunCommand:
    """Run `python ARGUMENTS` in a folder, as a user would, and return what it printed; see `commands.run_command`."""
    return commands.run_command


@pytest.fixture(scope="session")
def train() -> Images:
    """100 digits: three full batches of 32 and one of 4."""
    return load_digits(0, 100)


@pytest.fixture(scope="session")
def validation() -> Images:
    """100 other digits."""
    return load_digits(100, 200)


@pytest.fixture(scope="session")
def mislabelled(validation: Images) -> Images:
    """Validation images whose loss rises while the training goes well."""
    return Images(validation.images, (validation.labels + 1) % 10)
