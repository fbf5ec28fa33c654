"""Delivers the records that runs kept on disk because the server was away."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import mlflow

from mnist_flow.config.overrides import type_override
from mnist_flow.errors import TrackingError
from mnist_flow.runtime.credentials import hide_credentials
from mnist_flow.tracking.address import complete_uri
from mnist_flow.tracking.delivery import deliver_record, list_records, load_record
from mnist_flow.tracking.directions import get_uri
from mnist_flow.tracking.missing import is_missing
from mnist_flow.tracking.server import is_store_there, lock_beside, may_pass, shorten

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivered:
    """What became of one record."""

    folder: Path
    # Empty where it was not delivered, and then the reason.
    run_id: str
    reason: str


@dataclass(frozen=True)
class KeptRecord:
    """A record that waits for its server."""

    folder: Path
    run_id: str
    tracking_uri: str
    # Why the server did not take it.
    reason: str
    # Unix time in seconds at which it was kept.
    kept_at: float
    n_bytes: int


def list_kept_records(folder: Path, uri: str | None = None) -> list[KeptRecord]:
    """List the records of a folder, oldest first; one that is damaged says so in place of why it was kept.

    Args:
        folder: tracking.undelivered_dir.
        uri: list only those that are meant for this server, which a damaged one does not tell; None: all.

    Raises:
        TrackingError: the URI is none.
    """
    found = []
    # Records hold no credentials.
    wanted = uri and hide_credentials(complete_uri(uri, "tracking.uri"))
    for record in list_records(folder):
        about = record.name, "", "is damaged"
        with suppress(TrackingError):
            content = load_record(record)
            about = content["run_id"], content["tracking_uri"], content["reason"]
        if wanted and wanted != about[1]:
            continue
        n_bytes = sum(file.stat().st_size for file in record.rglob("*") if file.is_file())
        found.append(KeptRecord(record, *about, record.stat().st_mtime, n_bytes))
    return found


def delete_records(records: Sequence[KeptRecord]) -> None:
    """Delete records, and their folder with the last; what they hold is lost."""
    for record in records:
        with lock_beside(record.folder.parent / "records"):
            shutil.rmtree(record.folder, ignore_errors=True)
        with suppress(OSError):
            record.folder.parent.rmdir()


def deliver_undelivered(folder: Path, uri: str | None = None) -> Iterator[Delivered]:
    """Send each record of a folder to the tracking server and remove it; one that fails does not stop the others.

    Args:
        folder: tracking.undelivered_dir.
        uri: send them all there; None: each to the server that it was meant for.
    """
    # What servers said that are away; one attempt for all their records is enough.
    away: dict[str, str] = {}
    if not folder.is_dir():
        return
    with ExitStack() as held:
        try:
            # Two deliveries at once would send a model twice.
            held.enter_context(lock_beside(folder / "records"))
        except OSError as error:
            # Unless another delivery, which this one waited for, has just removed the emptied folder.
            if folder.is_dir():
                yield Delivered(folder, "", f"can't be written ({error.strerror})")
            return
        for record in list_records(folder):
            goes_to = ""
            try:
                meant_for = load_record(record)["tracking_uri"]
                goes_to = uri or meant_for
                if goes_to in away:
                    yield Delivered(record, "", away[goes_to])
                    continue
                if not is_store_there(goes_to):
                    raise TrackingError(
                        f"{hide_credentials(goes_to)}: no such store; deliver to where it is now: "
                        "python -m mnist_flow.sync tracking.uri=URI"
                    )
                # Records hold no credentials; the server in force may have some.
                client = mlflow.MlflowClient(uri if uri or meant_for == get_uri() else meant_for)
                yield Delivered(record, deliver_record(client, record), "")
            except TrackingError as error:
                yield Delivered(record, "", str(error))
            except Exception as error:
                reason = f"tracking server {hide_credentials(goes_to)}: {_describe(error, record.name, goes_to)}"
                if may_pass(error):
                    away[goes_to] = reason
                yield Delivered(record, "", reason)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _describe(error: Exception, run_id: str, uri: str) -> str:
    if is_missing(error):
        return (
            f"has no run {run_id}, since its store was deleted or is elsewhere; deliver to where it is now: "
            "python -m mnist_flow.sync tracking.uri=URI, or give the record up: "
            f"python -m mnist_flow.runs action=delete_records {type_override('run_ids', [run_id])}"
        )
    return shorten(error, uri)


def deliver_kept_records(folder: Path) -> None:
    """Deliver what earlier runs kept, and say so; what can't be delivered is said and stays."""
    left = []
    for one in deliver_undelivered(folder):
        if one.run_id:
            log.warning("delivered run %s, whose record was kept in %s", one.run_id, folder)
        else:
            left.append(one)
    if left:
        log.warning("records in %s that are still not delivered: %d (%s)", folder, len(left), left[0].reason)
