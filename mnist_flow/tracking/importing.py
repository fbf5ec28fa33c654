"""Brings the runs that `exporting` wrote to the store in force: each once, with new ids, in the order of the export."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow

from mnist_flow.errors import UserError
from mnist_flow.runtime.signals import signals_held
from mnist_flow.tracking import names
from mnist_flow.tracking.delivery import Operation, deliver
from mnist_flow.tracking.experiments import get_or_create_experiment, list_experiments
from mnist_flow.tracking.exporting import FORMAT, INDEX, RUN
from mnist_flow.tracking.lifecycle import describe_owner
from mnist_flow.tracking.past import STALE_AFTER, lives, search
from mnist_flow.tracking.server import clear_errors, shorten
from mnist_flow.tracking.stock import fetch_stored_run

_RUN_ID = re.compile(r"\b[0-9a-f]{32}\b")


def import_runs(folder: Path, experiment_name: str | None = None) -> Iterator[tuple[str, bool]]:
    """Import the runs of a folder, those above others first.

    A run of which the import broke off is deleted and imported anew. Run ids in tags become those of the imported runs.

    Args:
        folder: as `export_runs` wrote it.
        experiment_name: where all of them go; None: each to the experiment of its old name.

    Yields:
        Of each run its id in this store, and whether it is new there.

    Raises:
        UserError: the folder holds no export.
        TrackingError: the server does not answer, or refuses.
    """
    records = _read_export(folder)
    client = mlflow.MlflowClient()
    known = _fetch_imported(client)
    run_ids: dict[str, str] = {}
    model_ids: dict[str, str] = {}
    for record in records:
        origin = record["tags"].get(names.ORIGIN_TAG, record["run_id"])
        there = known.get(origin) or _find_itself(origin)
        run_id = there or _import_run(client, folder, record, experiment_name, origin, {**run_ids, **model_ids})
        run_ids[record["run_id"]] = run_id
        if record["model_id"] is not None:
            with clear_errors():
                outputs = client.get_run(run_id).outputs
            if outputs is not None and outputs.model_outputs:
                model_ids[record["model_id"]] = outputs.model_outputs[0].model_id
        yield run_id, there is None


def _read_export(folder: Path) -> list[dict[str, Any]]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["format"] != FORMAT:
            raise UserError(f"folder={folder}: another version of this command wrote it; import it with that one")
        records = [json.loads((folder / run_id / RUN).read_text(encoding="utf-8")) for run_id in index["runs"]]
        for record in records:
            for operation in record["operations"]:
                # Nothing outside the folder is sent, whoever wrote it.
                if operation.get("folder", "model") not in ("artifacts", "model") or not record["run_id"].isalnum():
                    raise ValueError("names another folder")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"folder={folder}: holds no export of runs ({shorten(error)})") from error
    return records


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
) -> str:
    """Import one run; returns its id. It gets its own tags last, so that nobody finds half of it."""
    experiment_id = get_or_create_experiment(experiment_name or record["experiment"])
    begun = {names.IMPORTING_TAG: origin, **describe_owner()}
    with clear_errors():
        run_id = ""
        try:
            with signals_held():
                created = client.create_run(experiment_id, record["start_time"], begun, record["name"])
                run_id = created.info.run_id
            with tempfile.TemporaryDirectory(prefix="mnist_flow_") as copies:
                for operation in record["operations"]:
                    source = folder / record["run_id"]
                    if operation["kind"] == "model":
                        # Its description gets the new ids before it is sent.
                        shutil.copytree(source / "model", Path(copies, "model"))
                        source = Path(copies)
                    deliver(client, run_id, experiment_id, _map_models(operation, new_ids), source)
            tags = {
                key: _RUN_ID.sub(lambda found: new_ids.get(found[0], found[0]), text)
                for key, text in record["tags"].items()
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
    return str(run_id)


def _map_models(operation: Operation, new_ids: Mapping[str, str]) -> Operation:
    """Models that were not exported are left out."""
    mapped = dict(operation)
    if "models" in mapped:
        mapped["models"] = [new_ids[model_id] for model_id in mapped["models"] if model_id in new_ids]
    if "model_id" in mapped:
        mapped["model_id"] = new_ids.get(mapped["model_id"])
    return mapped
