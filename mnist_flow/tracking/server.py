"""Where runs are kept: the tracking server, its experiments, and what it says when it can't."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import mlflow
import requests
from filelock import FileLock
from mlflow import environment_variables
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, TEMPORARILY_UNAVAILABLE, ErrorCode
from mlflow.utils.credentials import read_mlflow_creds
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from mnist_flow.errors import TrackingError
from mnist_flow.runtime.credentials import hide_credentials
from mnist_flow.tracking import names
from mnist_flow.tracking.address import complete_uri, find_sqlite_file
from mnist_flow.tracking.directions import describe_mlflow_command, describe_upgrade_command, get_uri

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# What a variable of MLflow's must be, by its type.
_WANTED = {bool: "true or false", int: "a whole number", float: "a number"}
_URI_VARIABLE = "MLFLOW_TRACKING_URI"
_REGISTRY_VARIABLE = "MLFLOW_REGISTRY_URI"
_SQLITE_MAGIC = b"SQLite format 3\x00"

# Signs that a store will refuse again, which MLflow gives the code of an internal error.
_REFUSALS = (
    "readonly database",
    "disk is full",
    "unable to open",
    "disk I/O error",
    "error code 401",
    "error code 403",
    "error code 407",
    "CERTIFICATE_VERIFY_FAILED",
    "WRONG_VERSION_NUMBER",
)
_PASSING = {ErrorCode.Name(INTERNAL_ERROR), ErrorCode.Name(TEMPORARILY_UNAVAILABLE)}
# MLflow's schema is not that of the store.
_OTHER_SCHEMA = re.compile(r"out-of-date database schema \(found version (\w+)")
# Answers to a question in MLflow's API that are not in its language.
_NO_MLFLOW = re.compile(r"failed with error code (30\d|404|405) != 200|not in a valid JSON format")

# What MLflow's own server answers to a user who may not do what was asked for.
DENIED = "error code 403 != 200. Response body: 'Permission denied'"

# Signs that nobody answers, or that a server stopped while it was asked.
_SILENCE = ("Connection refused", "Failed to resolve", "timed out", "Connection reset", "Connection aborted")
_AUTOFLUSH = (
    "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block if this flush is "
    "occurring prematurely) "
)


def configure(uri: str | None, experiment_name: str | None = None, writes: bool = True) -> str | None:
    """Choose the tracking server: MLFLOW_TRACKING_URI, or `uri`, or mlflow.db in the working directory.

    MLflow's variables win over what was typed, and a line says which; those that are empty count as unset.

    Args:
        uri: tracking.uri.
        experiment_name: tracking.experiment_name, for that line.
        writes: False where runs are only read, as those of a course or a disk that others may not write.

    Returns:
        The address in force, credentials included; None where nobody chose one.

    Raises:
        TrackingError: the URI is none, MLflow can't read a variable, or the SQLite file is none, or can't be read or
            written.
    """
    for name in [name for name, text in os.environ.items() if name.startswith("MLFLOW_") and not text.strip()]:
        del os.environ[name]
    _check_variables()
    # MLflow's own default waits several minutes for a server that isn't there.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    # And two minutes, three times, for one that takes a question and answers nothing, which is halved. Of an upload,
    # each block of a file and the answer to the whole file have this time.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    # MLflow's own ten seconds are longer than many a run here.
    os.environ.setdefault("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    # It prints each error of a database with its traceback, and raises it as well; we tell it in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    # It says how long it would wait for a version of a registered model that is there already.
    logging.getLogger("mlflow.store.model_registry.abstract_store").setLevel(logging.WARNING)
    given = os.environ.get(_URI_VARIABLE)
    chosen = complete_uri(given or uri, _URI_VARIABLE if given else "tracking.uri")
    if registry := os.environ.get(_REGISTRY_VARIABLE):
        complete_uri(registry, _REGISTRY_VARIABLE)
    _say_what_wins(uri, experiment_name)
    with clear_errors():
        mlflow.set_tracking_uri(chosen)
    # MLflow sets the variable, too. It would win over the config of the next run of this process.
    os.environ.pop(_URI_VARIABLE, None)
    if given:
        os.environ[_URI_VARIABLE] = given
    _check_store(find_sqlite_file(chosen), writes)
    return chosen if given or uri else None


def _check_variables() -> None:
    """MLflow reads a variable when it needs it, perhaps only after the training, and fails if it can't."""
    kind = type(environment_variables.MLFLOW_TRACKING_URI)
    for variable in vars(environment_variables).values():
        if not isinstance(variable, kind) or not variable.is_set():
            continue
        try:
            variable.get()
        except ValueError as error:
            wanted = _WANTED.get(variable.type, "what MLflow can read")
            given = f"{variable.name}={variable.get_raw()}"
            raise TrackingError(f"{given}: must be {wanted}; correct it, or unset {variable.name}") from error


def _say_what_wins(uri: str | None, experiment_name: str | None) -> None:
    """Name the variables of MLflow that win over the config; in a sweep its main process does that."""
    if names.EXPERIMENT_ID_VARIABLE in os.environ:
        return
    by_id = "MLFLOW_EXPERIMENT_ID" in os.environ
    for name, key, typed in (
        (_URI_VARIABLE, "tracking.uri", uri),
        ("MLFLOW_EXPERIMENT_ID" if by_id else "MLFLOW_EXPERIMENT_NAME", "tracking.experiment_name", experiment_name),
    ):
        given = os.environ.get(name, typed)
        if typed is None or given == typed or (key == "tracking.uri" and _is_same_store(given, typed)):
            continue
        log.warning("%s wins over %s", hide_credentials(f"{name}={given}"), hide_credentials(f"{key}={typed}"))


def _is_same_store(given: str | None, typed: str) -> bool:
    try:
        return complete_uri(given, _URI_VARIABLE) == complete_uri(typed, "tracking.uri")
    except TrackingError:
        # What the variable wins over may be no URI at all.
        return False


def _check_store(file: Path | None, writes: bool) -> None:
    """MLflow itself retries for minutes where a SQLite file can't be written, or is none."""
    if file is None:
        return
    if not file.parent.is_dir():
        raise TrackingError(f"{file.parent}: no such folder; make it, or choose another tracking.uri")
    if writes and (path := _find_unwritable(file)):
        raise TrackingError(f"{path}: can't be written; go to another folder, or choose a server: tracking.uri=URI")
    if file.is_dir():
        raise TrackingError(f"{file}: is a folder, not a SQLite file; name the file: tracking.uri=sqlite:///FILE")
    if file.is_file() and not os.access(file, os.R_OK):
        raise TrackingError(f"{file}: can't be read; ask its owner, or choose another tracking.uri")
    if file.is_file() and file.stat().st_size:
        with file.open("rb") as opened:
            if opened.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:
                raise TrackingError(f"{file}: is no SQLite file; move it away, or choose another tracking.uri")


def _find_unwritable(file: Path) -> Path | None:
    """What keeps this user from writing a SQLite store: its file, its folder or that of its artifacts."""
    paths = (file, file.parent, file.parent / "mlruns")
    return next((path for path in paths if path.exists() and not os.access(path, os.W_OK)), None)


def find_unwritable() -> Path | None:
    """The file or folder that keeps this user from writing the chosen store; None: nothing here does."""
    file = find_sqlite_file(mlflow.get_tracking_uri())
    return None if file is None else _find_unwritable(file)


def is_store_there(uri: str | None = None) -> bool:
    """False: it is a SQLite file that does not exist, and that MLflow would make at the first question."""
    file = find_sqlite_file(uri or mlflow.get_tracking_uri())
    return file is None or file.exists()


def check_store_is_there() -> None:
    """Refuse a store that is not there, where nothing can be found in one that is made now.

    Raises:
        TrackingError: it is not there.
    """
    if not is_store_there():
        raise TrackingError(f"{get_uri()}: no such store; go to its folder, or choose a server: tracking.uri=URI")


def list_variables() -> dict[str, str]:
    """The environment variables with which another process logs where this one does, credentials included."""
    given = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    return {**given, _URI_VARIABLE: mlflow.get_tracking_uri()}


@contextmanager
def lock_beside(path: Path) -> Iterator[None]:
    """One process at a time in the block. The lock is a file beside `path`, there as long as it is held.

    Every user who may write the folder may take it, whoever made it.
    """
    file = path.with_name(f"{path.name}.lock")
    with FileLock(file, mode=0o666):
        try:
            yield
        finally:
            # filelock notices that the file it waited for is gone, and makes another.
            with suppress(OSError):
                file.unlink()


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


def shorten(error: BaseException, uri: str | None = None) -> str:
    """An error as one line without credentials; those of servers that are common, with the remedy.

    Args:
        error: whatever was raised.
        uri: of the server that raised it; None: that in force.
    """
    reason = hide_credentials(" ".join(str(error).split())) or type(error).__name__
    if "error code 401" in reason:
        return (
            "asks for a user and a password, and got none, or not those that it knows; set MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD, or correct those in the URI"
        )
    if DENIED in reason:
        return _describe_denial(uri)
    if deleted := re.search(r"The (run|experiment) (\S+) must be in the 'active' state", reason):
        what, name = deleted.groups()
        command = describe_mlflow_command(f"mlflow {what}s restore --{what}-id {name}", uri)
        return f"the {what} {name} is deleted; restore it: {command}"
    if "ProxyError" in reason or "error code 407" in reason:
        return _describe_proxy(asks="error code 407" in reason)
    if unverified := re.search(r"certificate verify failed: (.*?) \(_ssl", reason):
        return (
            f"its certificate can't be verified ({unverified[1]}); name the file of who signed it: "
            "MLFLOW_TRACKING_SERVER_CERT_PATH=FILE.pem"
        )
    if "WRONG_VERSION_NUMBER" in reason:
        return "speaks http, not https; begin its address with http://"
    if "Invalid Host header" in reason:
        return "does not know the name by which it is asked; start it with --allowed-hosts HOST"
    if _NO_MLFLOW.search(reason):
        body = reason.partition("Response body: ")[2]
        return f"is no MLflow server; it answers {textwrap.shorten(body, 80, placeholder=' …') or 'otherwise'}"
    if any(sign in reason for sign in _SILENCE):
        return "does not answer"
    if "got unsupported URI" in reason or "unsupported scheme" in reason:
        return "is no address that MLflow knows; it knows http, https, sqlite, postgresql, mysql and mssql"
    if "No module named 'psycopg2'" in reason:
        return "psycopg2 is not installed; with pip install '.[server]' begin the address with postgresql+psycopg://"
    if schema := _OTHER_SCHEMA.search(reason):
        return _describe_schema(schema[1])
    # What SQLAlchemy says to programmers.
    reason = reason.removeprefix(_AUTOFLUSH)
    return textwrap.shorten(reason, 400, placeholder=" …")


def _describe_denial(uri: str | None) -> str:
    """Name the user by the variable only: what stands in the URI may be a secret."""
    in_uri = "@" in urlsplit(uri or mlflow.get_tracking_uri()).netloc
    name = None if in_uri else read_mlflow_creds().username
    who = "the user in its URI" if in_uri else f"user {name}" if name else "this user"
    return (
        f"does not permit {who} to do this; ask its administrator for the permission, or name another user: "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    )


def _describe_proxy(asks: bool) -> str:
    server = urlsplit(get_uri())
    proxy = hide_credentials(getproxies().get(server.scheme, ""))
    trouble = "asks for a user and a password" if asks else "does not answer"
    return (
        f"the proxy {proxy} in {server.scheme}_proxy {trouble}; correct that variable, or go past it: "
        f"no_proxy={server.hostname}"
    )


def _describe_schema(found: str) -> str:
    """MLflow can bring an older schema up to date, and not a newer one back."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if found in {script.revision for script in scripts.walk_revisions()}:
        command = describe_upgrade_command()
        return f"an older MLflow made its schema ({found}); copy it, then bring it up to date: {command}"
    return f"a newer MLflow than {mlflow.__version__} made its schema ({found}); install that one here"


@contextmanager
def clear_errors() -> Iterator[None]:
    """What a server or store that does not answer raises, as one line."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, ImportError, OSError) as error:
        reason = shorten(error)
        if reason == "does not answer":
            reason += (
                ". Start it, or choose another: tracking.uri=URI or the environment variable MLFLOW_TRACKING_URI; "
                "without either, runs are kept in mlflow.db here"
            )
        raise TrackingError(f"tracking server {get_uri()}: {reason}") from error
