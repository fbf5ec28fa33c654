"""Where a store says that artifacts are: whether they can be written there, and whether the store has moved since.

MLflow notes the absolute path of a local place when an experiment is created. After `mv a c` the store in `c` still
names `a`, and MLflow would make the folder `a` anew.
"""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import get_local_path_or_none

from mnist_flow.config.overrides import type_override
from mnist_flow.errors import TrackingError
from mnist_flow.runtime.credentials import hide_credentials
from mnist_flow.runtime.folders import find_obstacle
from mnist_flow.tracking.address import DEFAULT_FILE, find_sqlite_file
from mnist_flow.tracking.server import may_pass, shorten

# The folder in which MLflow keeps the artifacts of a store of its own.
_ROOT = "mlruns"
# Scheme of an address → packages that MLflow needs for it and does not install.
_PACKAGES = {
    "s3": "boto3",
    "gs": "google-cloud-storage",
    "wasbs": "azure-storage-blob azure-identity",
    "abfss": "azure-storage-file-datalake azure-identity",
    "hdfs": "pyarrow",
    "sftp": "paramiko pysftp",
}
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def to_path(place: str) -> Path | None:
    """Return the path of a place as MLflow reads it; None where it is no local place."""
    path = get_local_path_or_none(place)
    return None if path is None else Path(path).absolute()


def to_place(path: Path) -> str:
    """Return how a store has to name a path; MLflow decodes one that is not a URI as if it was one."""
    return str(path) if unquote(str(path)) == str(path) else path.as_uri()


def find_old_folder(place: str, store: Path | None) -> Path | None:
    """Return the folder in which a store was when it named a place; None where it is there still.

    Args:
        place: of an experiment, run or model.
        store: the SQLite file; None for a store without one.

    Returns:
        The folder above `mlruns` in the place if it is gone, or if the store is a copy of one that is there still.
    """
    path = to_path(place)
    if path is None or _ROOT not in path.parts:
        return None
    folder = Path(*path.parts[: len(path.parts) - 1 - path.parts[::-1].index(_ROOT)])
    if not folder.is_dir():
        return folder
    if store is None or not (store.parent / _ROOT).is_dir():
        return None
    original = folder / store.name
    is_other = original.is_file() and not original.samefile(store)
    return folder if is_other and _read_birth(original) == _read_birth(store) else None


def _read_birth(store: Path) -> int | None:
    """Read when a SQLite store was made: MLflow makes its first experiment then, in Unix milliseconds."""
    with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as database:
        row = database.execute("SELECT creation_time FROM experiments WHERE experiment_id = 0").fetchone()
        return row[0] if row else None


def describe_move(place: str, uri: str | None = None) -> str | None:
    """Describe in a sentence that artifacts are looked for where their store was; None where it is there still.

    Args:
        place: as the store names it.
        uri: of the store; None: the one in force.
    """
    uri = uri or mlflow.get_tracking_uri()
    store = find_sqlite_file(uri)
    folder = find_old_folder(place, store) if _is_ours(uri) else None
    if folder is None:
        return None
    command = "python -m mnist_flow.relocate"
    if store is None:
        return (
            f"are looked for in {to_path(place)}, and there is no {folder}; if it moved, say where to: "
            f"{command} {type_override('moved_from', str(folder))} moved_to=FOLDER apply=true"
        )
    if store != DEFAULT_FILE.absolute():
        command += f" {type_override('tracking.uri', hide_credentials(uri))}"
    return f"are looked for in {folder}, but their store is in {store.parent}; relocate them: {command} apply=true"


def check_place(place: str, owner: str, uri: str | None = None) -> None:
    """Look whether artifacts can be written, before anything is started.

    Args:
        place: as the store names it.
        owner: whose artifacts they are, as the message begins.
        uri: of the store; None: the one in force.

    Raises:
        TrackingError: they can't be, or would be written where the store no longer is; the message says the remedy.
    """
    path = to_path(place)
    if path is None:
        _check_address(place, owner)
        return
    uri = uri or mlflow.get_tracking_uri()
    if not _is_ours(uri) and not path.parent.is_dir():
        raise TrackingError(
            f"{owner}: tracking server {hide_credentials(uri)} keeps its artifacts in {path}, a folder of its own "
            "machine, which is not here; start it with --serve-artifacts --artifacts-destination FOLDER, and choose a "
            "new tracking.experiment_name"
        )
    if move := describe_move(place, uri):
        raise TrackingError(f"{owner}: its artifacts {move}")
    if obstacle := find_obstacle(path):
        raise TrackingError(f"{owner}: its artifacts can't be written to {obstacle}; make it a folder that can be")


def _is_ours(uri: str) -> bool:
    """Whether the store is a database, or a server of this machine, so that its paths are those of this machine."""
    server = urlsplit(uri)
    return server.scheme not in ("http", "https") or server.hostname in (*_LOCAL_HOSTS, socket.gethostname())


def _check_address(place: str, owner: str) -> None:
    scheme = urlsplit(place).scheme
    try:
        repository = get_artifact_repository(place)
        if scheme == "mlflow-artifacts":
            # The server keeps them for us, unless it was started not to. Nothing has this name, so the answer is short.
            repository.list_artifacts("_")
    except ImportError as error:
        remedy = f"; pip install {_PACKAGES[scheme]}" if scheme in _PACKAGES else ""
        raise TrackingError(f"{owner}: its artifacts go to {place}; a package is missing ({error}){remedy}") from error
    except Exception as error:
        # A server without --serve-artifacts says so with the status of one that is busy.
        if scheme == "mlflow-artifacts" and may_pass(error) and "serve-artifacts" not in str(error):
            return
        raise TrackingError(f"{owner}: its artifacts can't be written to {place} ({shorten(error)})") from error
