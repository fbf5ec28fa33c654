"""Where runs are kept: the tracking server, its experiments, and what it says when it can't."""

from __future__ import annotations

import hashlib
import os
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import mlflow
import requests
from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, RESOURCE_ALREADY_EXISTS, TEMPORARILY_UNAVAILABLE, ErrorCode
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from mnist_flow.errors import TrackingError
from mnist_flow.runtime.credentials import hide_credentials

Result = TypeVar("Result")

_REFUSALS = (
    "readonly database",
    "disk is full",
    "unable to open",
    "disk I/O error",
    "error code 401",
    "error code 403",
)
_PASSING = {ErrorCode.Name(INTERNAL_ERROR), ErrorCode.Name(TEMPORARILY_UNAVAILABLE)}


def configure(uri: str | None) -> None:
    """Choose the tracking server. MLFLOW_TRACKING_URI wins; None leaves MLflow's default, sqlite:///mlflow.db here."""
    # MLflow's own default waits several minutes for a server that isn't there.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    # MLflow's own ten seconds are longer than many a run here.
    os.environ.setdefault("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    if "MLFLOW_TRACKING_URI" not in os.environ and uri is not None:
        with clear_errors():
            mlflow.set_tracking_uri(uri)
    _check_store_is_writable()


def _check_store_is_writable() -> None:
    """MLflow itself retries for minutes where a SQLite file can't be written."""
    file = _find_sqlite_file()
    if file is None:
        return
    for path in (file, file.parent, file.parent / "mlruns"):
        if path.exists() and not os.access(path, os.W_OK):
            raise TrackingError(f"{path}: can't be written; go to another folder, or choose a server: tracking.uri=URI")
    if not file.parent.is_dir():
        raise TrackingError(f"{file.parent}: no such folder; make it, or choose another tracking.uri")


def _find_sqlite_file() -> Path | None:
    uri = mlflow.get_tracking_uri()
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def is_store_there() -> bool:
    """False: it is a SQLite file that does not exist, and that MLflow would make at the first question."""
    file = _find_sqlite_file()
    return file is None or file.exists()


def get_uri() -> str:
    """The tracking URI in force, without credentials."""
    return hide_credentials(mlflow.get_tracking_uri())


def list_variables() -> dict[str, str]:
    """The environment variables with which another process logs where this one does, credentials included."""
    given = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    return {**given, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}


def describe_ui_command() -> str:
    """What to type, or open, to see the runs."""
    uri = get_uri()
    if uri.startswith(("http://", "https://")):
        return uri
    return "mlflow ui" if uri == f"sqlite:///{Path('mlflow.db').resolve()}" else f"mlflow ui --backend-store-uri {uri}"


def build_run_link(experiment_id: str, run_id: str) -> str:
    """The page of a run: on the server, or on `mlflow ui` with its usual port."""
    uri = get_uri()
    server = uri.rstrip("/") if uri.startswith(("http://", "https://")) else "http://127.0.0.1:5000"
    return f"{server}/#/experiments/{experiment_id}/runs/{run_id}"


def get_or_create_experiment(name: str) -> str:
    """The id of the experiment: MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME or `name`, in this order.

    Safe when several processes ask for a new name at once.

    Raises:
        TrackingError: the server does not answer, or the experiment is deleted.
    """
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    name = choose_experiment_name(name)
    with clear_errors(), _creating_store():
        experiment = mlflow.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(mlflow.create_experiment(name))
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                    raise
                experiment = mlflow.get_experiment_by_name(name)
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"tracking.experiment_name={name}: this experiment is deleted; restore it "
            "(mlflow experiments restore) or choose another name"
        )
    return str(experiment.experiment_id)


def choose_experiment_name(name: str) -> str:
    """`name`, unless MLFLOW_EXPERIMENT_NAME says otherwise."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or name


def find_experiment(name: str) -> str | None:
    """The id of an existing experiment, or None; MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME or `name`, in this order.

    Makes no store where there is none yet.

    Raises:
        TrackingError: the server does not answer.
    """
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    name = choose_experiment_name(name)
    if not is_store_there():
        return None
    with clear_errors():
        experiment = mlflow.get_experiment_by_name(name)
    return None if experiment is None else str(experiment.experiment_id)


def list_experiments() -> dict[str, str]:
    """Names of all experiments and their ids; none where there is no store yet.

    Raises:
        TrackingError: the server does not answer.
    """
    file = _find_sqlite_file()
    if file is not None and not file.exists():
        return {}
    with clear_errors():
        return {one.name: str(one.experiment_id) for one in mlflow.search_experiments()}


def list_chosen_experiments(names: Sequence[str]) -> list[str]:
    """`names`, unless MLFLOW_EXPERIMENT_ID or MLFLOW_EXPERIMENT_NAME says otherwise.

    Raises:
        TrackingError: the server does not answer, or has no experiment of this id.
    """
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        with clear_errors():
            return [str(mlflow.get_experiment(given).name)]
    variable = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    return [variable] if variable else list(names)


@contextmanager
def _creating_store() -> Iterator[None]:
    """One process at a time where the store is a local SQLite file: MLflow's own migrations of a new file race."""
    uri = mlflow.get_tracking_uri()
    if not uri.startswith("sqlite"):
        yield
        return
    with lock_between_processes(uri):
        yield


def lock_between_processes(name: str) -> FileLock:
    """A lock that the processes of this machine share, by any name."""
    return FileLock(Path(tempfile.gettempdir(), f"mnist_flow-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"))


def may_pass(error: Exception) -> bool:
    """Whether trying again may help: the server is away or overloaded, as opposed to refusing or to a full disk."""
    if isinstance(error, TrackingError) and isinstance(error.__cause__, Exception):
        return may_pass(error.__cause__)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code >= 500 or error.response.status_code == 429
    if isinstance(error, (requests.ConnectionError, requests.Timeout)):
        return True
    if isinstance(error, MlflowException):
        return error.error_code in _PASSING and not _is_refusal(error)
    return isinstance(error, OperationalError) and not _is_refusal(error)


def _is_refusal(error: Exception) -> bool:
    """SQLite can't write its file, or the server does not know us; MLflow gives these the code of an internal error."""
    return any(sign in str(error) for sign in _REFUSALS)


def wait_for(call: Callable[[], Result], patience: float) -> Result:
    """The result of a call to the server, tried again for `patience` seconds while the server is away."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return call()
        except Exception as error:
            if not may_pass(error) or time.monotonic() > deadline:
                raise
        time.sleep(1)


def shorten(error: BaseException) -> str:
    """An error as one line without credentials."""
    reason = hide_credentials(" ".join(str(error).split())) or type(error).__name__
    if "error code 401" in reason:
        return (
            "asks for a user and a password, and those it got are not right; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    if any(sign in reason for sign in ("Connection refused", "Failed to resolve", "timed out", "Connection reset")):
        return "does not answer"
    return textwrap.shorten(reason, 400, placeholder=" …")


@contextmanager
def clear_errors() -> Iterator[None]:
    """What a server or store that does not answer raises, as one line."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        reason = shorten(error)
        if reason == "does not answer":
            reason += (
                ". Start it, or choose another: tracking.uri=URI or the environment variable MLFLOW_TRACKING_URI; "
                "without either, runs are kept in mlflow.db here"
            )
        raise TrackingError(f"tracking server {get_uri()}: {reason}") from error
