"""Brings the runs that `exporting` wrote to the store in force: each once, with new ids, in the order of the export."""

from __future__ import annotations

import json
import logging
import random
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow

from mnist_flow.errors import UserError
from mnist_flow.runtime.processes import name_process
from mnist_flow.runtime.signals import signals_held
from mnist_flow.tracking import names
from mnist_flow.tracking.experiments import get_or_create_experiment, list_experiments
from mnist_flow.tracking.exporting import FORMAT, INDEX, RUN
from mnist_flow.tracking.lifecycle import describe_owner
from mnist_flow.tracking.operations import Operation, deliver
from mnist_flow.tracking.past import STALE_AFTER, lives, search
from mnist_flow.tracking.server import clear_errors, shorten
from mnist_flow.tracking.stock import fetch_stored_run

log = logging.getLogger(__name__)

# Params and fingerprints keep the run that a training started from as it was typed, and so does what repeats them.
_RUN_ID = re.compile(r"(?<!training\.warm_start=)\b[0-9a-f]{32}\b")
# Seconds between two looks at the import of another process.
_POLL_SECONDS = 1.0


def import_runs(folder: Path, experiment_name: str | None) -> Iterator[tuple[str, bool]]:
    """Import the runs of a folder, those above others first.

    A run of which the import broke off is deleted and imported anew; one that another process imports at the same time
    is waited for. Run ids in tags become those of the imported runs.

    Args:
        folder: as `export_runs` wrote it.
        experiment_name: where all of them go; None: each to the experiment of its old name.

    Yields:
        Of each run its id in this store, and whether it is new there.

    Raises:
        UserError: the folder holds no export, or not the whole of it.
        TrackingError: the server does not answer, or refuses.
    """
    records = _read_export(folder)
    client = mlflow.MlflowClient()
    known = _fetch_imported(client)
    run_ids: dict[str, str] = {}
    model_ids: dict[str, str] = {}
    for record in records:
        origin = record["tags"].get(names.ORIGIN_TAG, record["run_id"])
        run_id, is_new = known.get(origin) or _find_itself(origin), False
        if run_id is None:
            run_id, is_new = _import_run(client, folder, record, experiment_name, origin, {**run_ids, **model_ids})
        run_ids[record["run_id"]] = run_id
        if record["model_id"] is not None:
            with clear_errors():
                outputs = client.get_run(run_id).outputs
            if outputs is not None and outputs.model_outputs:
                model_ids[record["model_id"]] = outputs.model_outputs[0].model_id
        yield run_id, is_new


def _read_export(folder: Path) -> list[dict[str, Any]]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["format"] != FORMAT:
            raise UserError(f"folder={folder}: another version of this command wrote it; import it with that one")
        records = [_read_record(folder, run_id) for run_id in index["runs"]]
        for record in records:
            for operation in record["operations"]:
                # Nothing outside the folder is sent, whoever wrote it.
                if operation.get("folder", "model") not in ("artifacts", "model") or not record["run_id"].isalnum():
                    raise ValueError("names another folder")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"folder={folder}: holds no export of runs ({shorten(error)})") from error
    return records


def _read_record(folder: Path, run_id: str) -> dict[str, Any]:
    """Read what is said of a run, whose files must all be there in their full size."""
    file = folder / run_id / RUN
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        # Earlier exports have no such list.
        for name, size in record.get("files", {}).items():
            file = folder / run_id / name
            if file.stat().st_size != size:
                raise ValueError(f"{size} bytes were written")
    except (OSError, ValueError) as error:
        path = file.relative_to(folder)
        raise UserError(f"folder={folder}: {path} is missing or cut off; copy the folder again") from error
    return record


def _fetch_imported(client: mlflow.MlflowClient) -> dict[str, str]:
    """Ids of the runs that were imported, by the id of their origin; what broke off is deleted."""
    experiments = list(list_experiments().values())
    for run in search(experiments, f"tags.`{names.IMPORTING_TAG}` LIKE '%'") if experiments else []:
        if not lives(run, STALE_AFTER):
            with clear_errors():
                client.delete_run(run.info.run_id)
    found = search(experiments, f"tags.`{names.ORIGIN_TAG}` LIKE '%'") if experiments else []
    return {run.data.tags[names.ORIGIN_TAG]: run.info.run_id for run in found}


def _find_itself(origin: str) -> str | None:
    """The run itself, where it comes back to the store that it was exported from."""
    itself = fetch_stored_run(origin)
    return origin if itself is not None and not itself.is_deleted else None


def _import_run(
    client: mlflow.MlflowClient,
    folder: Path,
    record: Mapping[str, Any],
    experiment_name: str | None,
    origin: str,
    new_ids: Mapping[str, str],
) -> tuple[str, bool]:
    """Import one run; returns its id, and whether it is new. It gets its own tags last, so that nobody finds half.

    MLflow has no locks: each process creates its run first and looks for those of others then, so of two at once at
    least one sees the other. Who sees another withdraws and waits.
    """
    experiment_id = get_or_create_experiment(experiment_name or record["experiment"])
    begun = {names.IMPORTING_TAG: origin, **describe_owner()}
    with clear_errors():
        run_id = ""
        try:
            while not run_id:
                with signals_held():
                    created = client.create_run(experiment_id, record["start_time"], begun, record["name"])
                    run_id = created.info.run_id
                if _find_other_import(origin, run_id) or find_imported(origin):
                    client.delete_run(run_id)
                    run_id = ""
                    if there := _wait_for_other_import(origin):
                        return there, False
            with tempfile.TemporaryDirectory(prefix="mnist_flow_") as copies:
                for operation in record["operations"]:
                    source = folder / record["run_id"]
                    if operation["kind"] == "model":
                        # Its description gets the new ids before it is sent.
                        shutil.copytree(source / "model", Path(copies, "model"))
                        source = Path(copies)
                    deliver(client, run_id, experiment_id, _map_models(operation, new_ids), source)
            known_ids = {**new_ids, record["run_id"]: run_id}
            tags = {
                key: _RUN_ID.sub(lambda found: known_ids.get(found[0], found[0]), text)
                for key, text in record["tags"].items()
                if key != names.ORIGIN_TAG
            }
            deliver(client, run_id, experiment_id, {"kind": "batch", "tags": tags}, folder)
            client.set_terminated(run_id, record["status"], record["end_time"])
            # From here on it counts as imported.
            client.set_tag(run_id, names.ORIGIN_TAG, origin)
            for key in {*begun} - {*tags}:
                client.delete_tag(run_id, key)
        except BaseException:
            with suppress(Exception):
                client.delete_run(run_id)
            raise
    return str(run_id), True


def _find_other_import(origin: str, own_run_id: str = "") -> str | None:
    """The process that imports the same run now, if another does."""
    importing = search(list(list_experiments().values()), f"tags.`{names.IMPORTING_TAG}` = '{origin}'")
    others = [run for run in importing if run.info.run_id != own_run_id and lives(run, STALE_AFTER)]
    return others[0].data.tags[names.PROCESS_TAG] if others else None


def find_imported(origin: str) -> str | None:
    """Find the run of this store that was imported, by its id in the store where it was made.

    An import asks after `_find_other_import`, whose tag goes when this one is there.

    Raises:
        TrackingError: the server does not answer.
    """
    experiments = list(list_experiments().values())
    found = search(experiments, f"tags.`{names.ORIGIN_TAG}` = '{origin}'", at_most=1) if experiments else []
    return str(found[0].info.run_id) if found else None


def _wait_for_other_import(origin: str) -> str | None:
    """The run that another process has imported; None: it has given up, or withdrew as this process did."""
    is_told = False
    while process := _find_other_import(origin):
        if not is_told:
            log.warning("waiting for %s, which imports run %s", name_process(process), origin)
        is_told = True
        time.sleep(_POLL_SECONDS)
    # Two that withdrew from each other: chance decides.
    time.sleep(random.uniform(0, _POLL_SECONDS))  # noqa: S311 - no secret
    return find_imported(origin)


def _map_models(operation: Operation, new_ids: Mapping[str, str]) -> Operation:
    """Models that were not exported are left out."""
    mapped = dict(operation)
    if "models" in mapped:
        mapped["models"] = [new_ids[model_id] for model_id in mapped["models"] if model_id in new_ids]
    if "model_id" in mapped:
        mapped["model_id"] = new_ids.get(mapped["model_id"])
    return mapped
