"""Brings a run's record to the tracking server, in order and off the training thread, and keeps on disk what it can't.

The record is a list of operations, each of which can be sent twice; so a delivery that breaks off is simply repeated.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow

from mnist_flow.errors import LostRecordError, TrackingError
from mnist_flow.runtime.processes import describe_process
from mnist_flow.tracking import names
from mnist_flow.tracking.directions import get_uri
from mnist_flow.tracking.operations import Operation, deliver, join_batches, merge
from mnist_flow.tracking.places import check_place
from mnist_flow.tracking.server import may_pass, shorten

log = logging.getLogger(__name__)

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
        # What is put and not being sent yet; None is the end. An operation goes from here to `_current` while
        # `_changed` is held, so that it is always in one of them.
        self._waiting: deque[Operation | None] = deque()
        self._changed = threading.Condition()
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
        self._append(operation)

    def _append(self, operation: Operation | None) -> None:
        with self._changed:
            self._waiting.append(operation)
            self._changed.notify()

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
        self._append(None)
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
            self._take_next()
            if self._complete:
                return
            if time.monotonic() - heard_of >= HEARTBEAT_SECONDS:
                beat = {"kind": "batch", "tags": {names.HEARTBEAT_TAG: str(int(time.time()))}}
                if not self._send(client, beat):
                    return
                heard_of = time.monotonic()
                self._send_live(client)
            if self._current is not None and not self._send(client, self._current):
                return
            self._current = None

    def _take_next(self) -> None:
        """Wait until the next heartbeat for what is to be sent, and take the batches that wait behind it along."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, HEARTBEAT_SECONDS)
            if not self._waiting:
                return
            self._current = self._waiting.popleft()
            self._complete = self._current is None
            while self._current and self._waiting and (merged := merge(self._current, self._waiting[0])):
                self._current = merged
                self._waiting.popleft()

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
        with self._changed:
            operations = [one for one in (self._current, *self._waiting) if one is not None]
            self._waiting.clear()
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
        for operation in join_batches(record["operations"]):
            deliver(client, record["run_id"], record["experiment_id"], operation, folder)
    else:
        log.warning("run %s: another process has gone on with it since; its old record is dropped", record["run_id"])
    # Half a record could never be delivered.
    removed = folder.rename(folder.with_suffix(".part"))
    shutil.rmtree(removed, ignore_errors=True)
    return str(record["run_id"])
