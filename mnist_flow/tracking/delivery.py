"""Brings a run's record to the tracking server, in order and off the training thread, and keeps on disk what it can't.

The record is a list of operations, each a plain dictionary that can be sent twice with the effect of once, as long as
no other process goes on with the run: a metric point keeps its time stamp, a file its path, a run has one model. So
a delivery that breaks off is simply repeated.
"""

from __future__ import annotations

import json
import logging
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import BAD_REQUEST, ErrorCode

from mnist_flow.errors import LostRecordError, TrackingError
from mnist_flow.runtime.processes import describe_process
from mnist_flow.tracking import names
from mnist_flow.tracking.directions import get_uri
from mnist_flow.tracking.places import check_place
from mnist_flow.tracking.server import may_pass, shorten

log = logging.getLogger(__name__)

Operation: TypeAlias = dict[str, Any]

HEARTBEAT_SECONDS = 30.0
_RECORD = "record.json"
_KEYS = ("run_id", "experiment_id", "tracking_uri", "process", "reason", "operations")
# Seconds that a server may take for what is no upload before it counts as away.
_SLOW_SECONDS = 10.0


class Delivery:
    """Sends the operations of one run from a thread of its own, for as long as it takes.

    Args:
        keep_in: folder for the record where the server stays away.
    """

    def __init__(self, run_id: str, experiment_id: str, keep_in: Path) -> None:
        self._run_id = run_id
        self._experiment_id = experiment_id
        self._keep_in = keep_in
        self._files = Path(tempfile.mkdtemp(prefix="mnist_flow_"))
        self._n_folders = 0
        self._waiting: queue.SimpleQueue[Operation | None] = queue.SimpleQueue()
        # The operation that is being sent; None between two.
        self._current: Operation | None = None
        # Everything is delivered, the end included.
        self._complete = False
        self._refused: Exception | None = None
        self._last_error: Exception | None = None
        self._answered_at = time.monotonic()
        self._give_up = threading.Event()
        # Path of an artifact that grows while the run goes on, and what tells its text.
        self._live: tuple[str, Callable[[], str]] | None = None
        self._thread = threading.Thread(target=self._work, name=f"delivery of run {run_id}", daemon=True)
        self._thread.start()

    def put(self, operation: Operation) -> None:
        """Hand over an operation; returns at once."""
        self._waiting.put(operation)

    def keep_live(self, path: str, read: Callable[[], str]) -> None:
        """From now on send a text artifact with each heartbeat; it may be lost, the last one is the run's to log."""
        self._live = path, read

    def make_folder(self) -> Path:
        """A new, empty folder for the files of an operation; its name is what the operation says."""
        self._n_folders += 1
        folder = self._files / f"{self._n_folders:04d}"
        folder.mkdir()
        return folder

    def close(self, patience: float) -> Path | None:
        """Wait until everything is delivered.

        Args:
            patience: seconds to wait for a server that is away.

        Returns:
            None, or the folder that now holds the record of what could not be delivered.

        Raises:
            LostRecordError: there is such a record, and it can't be written either.
        """
        self._waiting.put(None)
        begun = time.monotonic()
        try:
            while self._thread.is_alive() and not self._is_away(begun, patience):
                self._thread.join(0.1)
            self._give_up.set()
            return None if self._complete else self._keep()
        except BaseException:
            # Who interrupts the waiting does not mean to lose the run.
            self._give_up.set()
            if not self._complete:
                kept = self._keep()
                log.error("run %s: its record is kept in %s; deliver it: python -m mnist_flow.sync", self._run_id, kept)
            raise
        finally:
            shutil.rmtree(self._files, ignore_errors=True)

    def _is_away(self, since: float, patience: float) -> bool:
        """Whether the server has done nothing for so long, except that an upload may take as long as it wants."""
        uploads = self._last_error is None and "folder" in (self._current or {})
        longest = max(patience, _SLOW_SECONDS) if self._last_error is None else patience
        return not uploads and time.monotonic() - max(since, self._answered_at) >= longest

    def describe_trouble(self) -> str:
        """Why the last attempt failed, as one line."""
        error = self._refused or self._last_error
        return shorten(error) if error is not None else "does not answer"

    def _work(self) -> None:
        client = mlflow.MlflowClient()
        heard_of = time.monotonic()
        while not self._give_up.is_set():
            try:
                self._current = self._waiting.get(timeout=HEARTBEAT_SECONDS)
                if self._current is None:
                    self._complete = True
                    return
            except queue.Empty:
                pass
            if time.monotonic() - heard_of >= HEARTBEAT_SECONDS:
                beat = {"kind": "batch", "tags": {names.HEARTBEAT_TAG: str(int(time.time()))}}
                if not self._send(client, beat):
                    return
                heard_of = time.monotonic()
                self._send_live(client)
            if self._current is not None and not self._send(client, self._current):
                return
            self._current = None

    def _send(self, client: mlflow.MlflowClient, operation: Operation) -> bool:
        """Send until it succeeds. False: the server refuses, or the waiting has been given up."""
        pause = 0.5
        while not self._give_up.is_set():
            try:
                deliver(client, self._run_id, self._experiment_id, operation, self._files)
                if self._last_error is not None:
                    log.warning("run %s: tracking server %s answers again", self._run_id, get_uri())
                self._last_error = None
                self._answered_at = time.monotonic()
                return True
            except Exception as error:
                if not may_pass(error):
                    self._refused = error
                    log.warning(
                        "run %s: tracking server %s: %s; the run goes on", self._run_id, get_uri(), shorten(error)
                    )
                    return False
                if self._last_error is None:
                    log.warning(
                        "run %s: tracking server %s %s; the run goes on, its record waits",
                        self._run_id,
                        get_uri(),
                        shorten(error),
                    )
                self._last_error = error
            self._give_up.wait(pause)
            pause = min(2 * pause, 5.0)
        return False

    def _send_live(self, client: mlflow.MlflowClient) -> None:
        if self._live is None:
            return
        path, read = self._live
        try:
            file = self._files / "live" / path
            text = read()
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
                client.log_artifacts(self._run_id, str(self._files / "live"))
        except Exception:
            log.debug("%s is not sent", path, exc_info=True)

    def _keep(self) -> Path:
        operations = [self._current] if self._current is not None else []
        while True:
            try:
                operation = self._waiting.get_nowait()
            except queue.Empty:
                break
            if operation is not None:
                operations.append(operation)
        folder = self._keep_in / self._run_id
        unfinished = folder.with_suffix(".part")
        record = {
            "run_id": self._run_id,
            "experiment_id": self._experiment_id,
            "tracking_uri": get_uri(),
            "process": describe_process(),
            "reason": self.describe_trouble(),
            "operations": operations,
        }
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            for operation in operations:
                if "folder" in operation:
                    shutil.copytree(self._files / operation["folder"], unfinished / operation["folder"])
            (unfinished / _RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        except (OSError, shutil.Error) as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise LostRecordError(
                f"run {self._run_id}: tracking server {get_uri()}: {self.describe_trouble()}; and its record can't be "
                f"kept in tracking.undelivered_dir={self._keep_in} ({shorten(error)})"
            ) from error
        return folder.resolve()


def list_records(folder: Path) -> list[Path]:
    """The records kept in a folder, oldest first."""
    files = sorted(folder.glob(f"*/{_RECORD}"), key=lambda file: file.stat().st_mtime)
    return [file.parent for file in files if file.parent.suffix != ".part"]


def load_record(folder: Path) -> dict[str, Any]:
    """A record as `Delivery` kept it.

    Raises:
        TrackingError: it is not what was written.
    """
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return {key: record[key] for key in _KEYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrackingError(f"{folder}: no record of a run ({shorten(error)})") from error


def deliver_record(client: mlflow.MlflowClient, folder: Path) -> str:
    """Send a kept record and remove it; returns the run's id. Broken off, it can be repeated.

    The record of a run that another process has taken up since holds nothing new, and is removed unsent.

    Raises:
        TrackingError: it is not what was written, or the run's artifacts can't be.
        Exception: what the server answers.
    """
    record = load_record(folder)
    run = client.get_run(record["run_id"])
    owner = run.data.tags.get(names.PROCESS_TAG)
    if owner in (None, record["process"]):
        check_place(run.info.artifact_uri, f"run {record['run_id']}", client.tracking_uri)
        for operation in record["operations"]:
            deliver(client, record["run_id"], record["experiment_id"], operation, folder)
    else:
        log.warning("run %s: another process has gone on with it since; its old record is dropped", record["run_id"])
    # Half a record could never be delivered.
    removed = folder.rename(folder.with_suffix(".part"))
    shutil.rmtree(removed, ignore_errors=True)
    return str(record["run_id"])


def deliver(client: mlflow.MlflowClient, run_id: str, experiment_id: str, operation: Operation, files: Path) -> None:
    """Do one operation.

    Args:
        operation: see the `case`s.
        files: where the folders are that operations name.
    """
    match operation:
        case {"kind": "batch"}:
            _deliver_batch(client, run_id, operation)
        case {"kind": "artifacts", "folder": folder}:
            client.log_artifacts(run_id, str(files / folder))
        case {"kind": "inputs", "datasets": datasets}:
            inputs = [
                DatasetInput(Dataset(**dataset), [InputTag("mlflow.data.context", context)])
                for context, dataset in datasets.items()
            ]
            models = [LoggedModelInput(model_id) for model_id in operation.get("models", [])]
            try:
                client.log_inputs(run_id, inputs, models)
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(BAD_REQUEST):
                    raise
                # Another job was the first to log this data set, at the same moment; now MLflow finds it.
                client.log_inputs(run_id, inputs, models)
        case {"kind": "model", "folder": folder, "metrics": metrics}:
            _deliver_model(client, run_id, experiment_id, files / folder, metrics, operation.get("params", {}))
        case {"kind": "end", "status": status, "end_time": end_time}:
            client.set_terminated(run_id, status, end_time)
        case _:
            raise TrackingError(f"run {run_id}: unknown operation {operation.get('kind')} in its record")


def _deliver_batch(client: mlflow.MlflowClient, run_id: str, operation: Mapping[str, Any]) -> None:
    metrics = [Metric(*point, model_id=operation.get("model_id")) for point in operation.get("metrics", [])]
    params = [Param(key, value) for key, value in operation.get("params", {}).items()]
    tags = [RunTag(key, value) for key, value in operation.get("tags", {}).items()]
    client.log_batch(run_id, metrics, params, tags)  # MLflow splits what is more than one request takes.


def _deliver_model(
    client: mlflow.MlflowClient,
    run_id: str,
    experiment_id: str,
    folder: Path,
    metrics: Sequence[Sequence[Any]],
    params: dict[str, str],
) -> None:
    """Log a model that `mlflow.tensorflow.save_model` saved, its run's params and metrics, unless the run has it."""
    # A delivery may have broken off right after it created the model, or linked it.
    begun = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    if begun and begun[0].status == LoggedModelStatus.READY:
        return
    model = begun[0] if begun else client.create_logged_model(experiment_id, "model", run_id, params=params)
    outputs = client.get_run(run_id).outputs if begun else None
    if outputs is None or not outputs.model_outputs:
        client.log_outputs(run_id, models=[LoggedModelOutput(model.model_id, step=0)])
    saved = Model.load(str(folder))
    saved.run_id, saved.model_id, saved.model_uuid = run_id, model.model_id, model.model_id
    saved.artifact_path = model.artifact_location
    saved.save(str(folder / "MLmodel"))
    client.log_model_artifacts(model.model_id, str(folder))
    client.log_batch(run_id, metrics=[Metric(*point, model_id=model.model_id) for point in metrics])
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
