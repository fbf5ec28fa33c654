"""What is told to be typed works in the shell that it is typed in."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_flow import tracking
from mnist_flow.tracking import directions
from mnist_flow.tracking.directions import describe_mlflow_command, describe_upgrade_command


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """The default store of an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.configure(None)
    return tmp_path


@pytest.fixture
def put_on_path(monkeypatch):
    return lambda *folders: monkeypatch.setenv("PATH", os.pathsep.join(str(folder) for folder in folders))


def test_mlflow_is_named_as_it_is_where_the_shell_finds_it(put_on_path):
    put_on_path(Path(sys.executable).parent, "/usr/bin")
    assert tracking.describe_ui_command() == "mlflow ui"
    assert describe_mlflow_command("mlflow experiments search") == "mlflow experiments search"


def test_mlflow_is_a_module_of_this_python_where_the_shell_does_not_find_it(put_on_path):
    put_on_path("/usr/bin", "/bin")
    assert tracking.describe_ui_command() == f"{shlex.quote(sys.executable)} -m mlflow ui"
    command = describe_upgrade_command()
    assert command.endswith(" -m mlflow db upgrade sqlite:///mlflow.db")
    done = subprocess.run(["/bin/sh", "-c", f"{command} --help"], capture_output=True, text=True, check=False)
    assert (done.returncode, "Upgrade the schema" in done.stdout) == (0, True)


def test_mlflow_of_another_environment_is_not_meant(put_on_path, tmp_path):
    other = tmp_path / "bin" / "mlflow"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    put_on_path(other.parent)
    assert tracking.describe_gc_command().startswith(f"{shlex.quote(sys.executable)} -m mlflow gc --tracking-uri ")


def test_a_python_below_the_working_directory_is_named_from_there(put_on_path, monkeypatch, tmp_path):
    put_on_path("/usr/bin")
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert tracking.describe_ui_command() == ".venv/bin/python -m mlflow ui"


@pytest.mark.parametrize("uri", ["http://localhost:5000", "https://mlflow.example"])
def test_the_pages_of_a_server_are_its_own(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tracking.configure(None)
    assert tracking.describe_ui_command() == uri
    assert tracking.describe_look("1", "ab") == f"{uri}/#/experiments/1/runs/ab?workflowType=machine_learning"


@pytest.fixture
def taken_port(monkeypatch):
    """A port on which something listens that says nothing; `mlflow ui` would have it first."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setattr(directions, "_PORTS", range(port, port + 2))
        yield port


def test_a_port_that_something_else_has_is_not_the_one_of_the_page(taken_port, put_on_path):
    put_on_path(Path(sys.executable).parent)
    look = tracking.describe_look("1", "ab")
    free = taken_port + 1
    assert look.startswith(f"mlflow ui --port {free}, and open http://127.0.0.1:{free}/#/experiments/1/runs/ab?")


def test_where_all_ports_are_taken_the_usual_one_is_named(taken_port, monkeypatch, put_on_path):
    put_on_path(Path(sys.executable).parent)
    monkeypatch.setattr(directions, "_PORTS", range(taken_port, taken_port + 1))
    assert tracking.describe_ui_command() == "mlflow ui"


def test_a_port_that_mlflow_has_already_is_the_one_of_the_page(shared_server, monkeypatch, put_on_path):
    put_on_path(Path(sys.executable).parent)
    monkeypatch.setattr(directions, "_PORTS", range(shared_server.port, shared_server.port + 2))
    assert tracking.describe_look("1", "ab").startswith(f"mlflow ui, and open http://127.0.0.1:{shared_server.port}/#")
