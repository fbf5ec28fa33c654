"""What users are told of the store in force: its URI, MLflow's commands as they are typed, and links to its pages."""

from __future__ import annotations

import shutil
import socket
import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote

import mlflow

from mnist_flow.config.overrides import quote_argument
from mnist_flow.runtime.credentials import hide_credentials
from mnist_flow.tracking.address import DEFAULT_FILE, find_sqlite_file

# That `mlflow ui` may have, its own choice first.
_PORTS = range(5000, 5010)
_LOCAL_PAGES = "http://127.0.0.1:{}"


def get_uri() -> str:
    """The tracking URI in force, without credentials."""
    return hide_credentials(mlflow.get_tracking_uri())


def describe_ui_command() -> str:
    """What to type, or open, to see the runs."""
    return get_uri() if _is_remote() else _describe_ui(_choose_port())


def describe_mlflow_command(command: str, uri: str | None = None) -> str:
    """A command of MLflow's, `mlflow …`, as it is to be typed so that it works on a store; None: on that in force."""
    uri = get_uri() if uri is None else hide_credentials(uri)
    variables = "" if _is_default_of_mlflow(uri) else f"MLFLOW_TRACKING_URI={quote_argument(_shorten(uri))} "
    return variables + _name_mlflow() + command.removeprefix("mlflow")


def describe_upgrade_command() -> str:
    """MLflow's command, as it is to be typed, that brings the store in force to this version of MLflow."""
    return f"{_name_mlflow()} db upgrade {quote_argument(_shorten(get_uri()))}"


def describe_gc_command() -> str:
    """MLflow's command, as it is to be typed, that removes from the disk what is deleted in the store in force."""
    uri = quote_argument(_shorten(get_uri()))
    if uri.startswith(("http://", "https://")):
        return f"on the server's machine: mlflow gc --tracking-uri {uri} --backend-store-uri URI"
    return f"{_name_mlflow()} gc --tracking-uri {uri} --backend-store-uri {uri}"


def find_pages() -> str:
    """The address of MLflow's pages: the server's, or that of `mlflow ui` with the port of `describe_ui_command`."""
    return get_uri().rstrip("/") if _is_remote() else _LOCAL_PAGES.format(_choose_port())


def build_run_link(pages: str, experiment_id: str, run_id: str) -> str:
    """The page of a run, below the address that `find_pages` gives.

    Without its last part, MLflow's page has language models around it, and calls a training run an evaluation.
    """
    return f"{pages}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def describe_look(experiment_id: str, run_id: str) -> str:
    """How to look at the page of a run: its link, or what to type first."""
    if _is_remote():
        return build_run_link(find_pages(), experiment_id, run_id)
    port = _choose_port()
    return f"{_describe_ui(port)}, and open {build_run_link(_LOCAL_PAGES.format(port), experiment_id, run_id)}"


def _is_remote() -> bool:
    return get_uri().startswith(("http://", "https://"))


def _describe_ui(port: int) -> str:
    ui = f"{_name_mlflow()} ui" + (f" --port {port}" if port != _PORTS[0] else "")
    return ui if _is_default_of_mlflow(get_uri()) else f"{ui} --backend-store-uri {quote_argument(_shorten(get_uri()))}"


def _choose_port() -> int:
    """The first port on which there is nothing, or MLflow already; MLflow's own choice where all are taken."""
    return next((port for port in _PORTS if not _is_taken(port)), _PORTS[0])


def _is_taken(port: int) -> bool:
    """Whether something else than MLflow listens on a port of this machine, as AirPlay does on 5000 of a Mac."""
    with socket.socket() as tried:
        if tried.connect_ex(("127.0.0.1", port)):
            return False
    connection = HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/version")
        return connection.getresponse().read().decode(errors="replace").strip() != mlflow.__version__
    except (OSError, HTTPException):
        return True
    finally:
        connection.close()


def _name_mlflow() -> str:
    """`mlflow`, or what is to be typed where a shell would not find this environment's."""
    python, found = Path(sys.executable), shutil.which("mlflow")
    if found and Path(found).parent == python.parent:
        return "mlflow"
    near = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return f"{quote_argument(str(near))} -m mlflow"


def _is_default_of_mlflow(uri: str) -> bool:
    """Whether MLflow's own commands, typed here, find this store.

    They don't where a folder `mlruns` holds experiments of an older MLflow, and they make a folder of the undecoded
    path where it has letters that are encoded in a URI.
    """
    here = find_sqlite_file(uri) == DEFAULT_FILE.absolute()
    return here and quote(str(Path.cwd())) == str(Path.cwd()) and not any(Path("mlruns").glob("[0-9]*/meta.yaml"))


def _shorten(uri: str) -> str:
    """A SQLite store in the working directory has a URI that needs no quotes."""
    file = find_sqlite_file(uri)
    return f"sqlite:///{file.name}" if file is not None and file == Path(file.name).absolute() else uri
