"""What is asked for by its name or id and is not there, as stores and servers say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from mnist_flow.tracking.directions import get_uri
from mnist_flow.tracking.server import DENIED

Result = TypeVar("Result")


def is_missing(error: Exception) -> bool:
    """Whether the server answers that what it was asked for is not there."""
    return isinstance(error, MlflowException) and error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


def fetch_or_none(call: Callable[[], Result]) -> Result | None:
    """The result of a call to the server; None where what it asks for is not there."""
    try:
        return call()
    except MlflowException as error:
        if is_missing(error):
            return None
        raise


def fetch_run_or_none(run_id: str) -> Run | None:
    """Fetch a run by its id; None where there is none that this user may read.

    To all but its administrators a server with passwords denies a run that is not there like one that is kept from
    them, so that nobody learns which ids there are.
    """
    try:
        return mlflow.MlflowClient().get_run(run_id)
    except MlflowException as error:
        if is_missing(error) or DENIED in str(error):
            return None
        raise


def describe_missing_run() -> str:
    """Say why `fetch_run_or_none` finds nothing."""
    is_server = urlsplit(get_uri()).scheme in ("http", "https")
    return f"there is no such run at {get_uri()}" + (", or you may not read it" if is_server else "")
