"""The story of `python -m mnist_flow.runs`: show which runs there are, delete those that nobody wants, move others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from mnist_flow import tracking
from mnist_flow.config.overrides import type_override
from mnist_flow.config.runs import RunsConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import BusyError, ConfigError
from mnist_flow.runs.travel import export_to_folder, import_from_folder
from mnist_flow.runtime.terminal import count, print_line, print_table
from mnist_flow.training.checkpoint import CheckpointFolder

_MB = 1e6
_DAY = 86_400
# Rows of a table that is printed.
_MAX_ROWS = 50
# Columns that share one in a terminal that is too narrow for all.
_STACKS = (("run", "name"), ("kind", "model"), ("status", "started"), ("result", "MB", "of models"))
_NOTHING_YET = "nothing is deleted yet; apply=true deletes it"


def look_after_runs(cfg: DictConfig) -> None:
    """List, delete, export or import runs; without `apply` only show what would be deleted.

    Args:
        cfg: the config that Hydra composed from conf/runs.yaml.

    Raises:
        UserError: bad config, a store that is not there or does not answer, or what is to be deleted is running.
        RunError: the server went away in between; what is deleted by then is said.
    """
    config = validate_config(cfg, RunsConfig)
    if config.action == "delete_records":
        _delete_records(config)
        return
    writes = config.action == "import" or (config.action.startswith("delete") and config.apply)
    tracking.configure(config.tracking.uri, config.tracking.experiment_name, writes)
    if config.action == "import":
        import_from_folder(config)
        return
    tracking.check_store_is_there()
    if config.action == "delete_checkpoints":
        _delete_checkpoints(config)
        return
    if config.action.startswith("delete") and not config.chooses:
        raise ConfigError(f"action={config.action}: of which runs? Say status=failed, sweep=ID, run_ids=[ID,ID], …")
    runs, sizes = _choose_runs(config)
    if config.action == "list":
        _print_runs(runs, sizes, f"runs at {tracking.get_uri()}")
    elif config.action == "export":
        export_to_folder(config, runs)
    else:
        _delete(config, runs)


def _choose_runs(config: RunsConfig) -> tuple[list[tracking.StoredRun], list[tuple[int, int] | None]]:
    """Fetch the runs that the config chooses, the newest first, and the size of each."""
    tracking.check_filter("filter", config.filter)
    experiments = tracking.list_experiments()
    if config.tracking.experiment_name is not None:
        chosen = tracking.list_chosen_experiments([config.tracking.experiment_name])
        experiments = {name: experiments[name] for name in chosen if name in experiments}
        if not experiments:
            raise ConfigError(f"tracking.experiment_name={chosen[0]}: no such experiment at {tracking.get_uri()}")
    found = tracking.fetch_stored_runs(
        list(experiments.values()),
        run_ids=config.run_ids,
        sweep=config.sweep,
        model=config.model.name,
        extra_filter=config.filter,
    )
    latest_end = (time.time() - (config.older_than or 0) * _DAY) * 1000
    runs, sizes = [], []
    for run in found:
        if config.status and run.status not in config.status:
            continue
        if config.older_than is not None and (run.status == "running" or run.end_time > latest_end):
            continue
        size = run.measure_bytes(ask_server=config.larger_than is not None)
        if config.larger_than is None or (size is not None and sum(size) > config.larger_than * _MB):
            runs.append(run)
            sizes.append(size)
    return runs, sizes


def _print_runs(runs: Sequence[tracking.StoredRun], sizes: Sequence[tuple[int, int] | None], title: str) -> None:
    if not runs:
        print_line(f"{tracking.get_uri()}: no such runs")
        return
    table = pd.DataFrame(
        {
            "run": [run.run_id for run in runs],
            "kind": [run.kind for run in runs],
            "name": [run.name for run in runs],
            "model": [run.model for run in runs],
            "status": [run.status for run in runs],
            "started": [_describe_time(run.start_time / 1000) for run in runs],
            "result": [_describe_result(run.results) for run in runs],
            "MB": [None if size is None else round(sum(size) / _MB, 2) for size in sizes],
            "of models": [None if size is None else round(size[1] / _MB, 2) for size in sizes],
        }
    ).astype({"MB": float, "of models": float})
    more = f", the first {_MAX_ROWS}" if len(runs) > _MAX_ROWS else ""
    print_table(table.head(_MAX_ROWS), f"{title}{more}", stacks=_STACKS)
    total = "" if table["MB"].isna().any() else f", {table['MB'].sum():.1f} MB"
    print_line(f"{count(len(runs), 'run')}{total}")


def _delete(config: RunsConfig, runs: list[tracking.StoredRun]) -> None:
    """Delete runs with those below them, or only their models."""
    whole = config.action == "delete"
    runs = tracking.list_with_children(runs) if whole else [run for run in runs if run.model_places]
    tracking.check_deletable(runs)
    _print_runs(runs, [run.measure_bytes(ask_server=False) for run in runs], "to be deleted")
    if not runs:
        return
    models = count(sum(len(run.model_places) for run in runs), "model")
    if not config.apply:
        print_line(f"{models}; {_NOTHING_YET}")
        return
    if whole:
        tracking.delete_runs(runs)
    else:
        tracking.delete_models(runs, "action=delete_models")
    print_line(f"deleted: {count(len(runs), 'run')}, {models}" if whole else f"deleted: {models}")
    print_line(f"remove from the disk what is deleted: {tracking.describe_gc_command()}")


def _delete_checkpoints(config: RunsConfig) -> None:
    """Delete the checkpoints of runs that are deleted or done; those of `run_ids` whatever became of them."""
    folders = [path for path in sorted(Path(config.checkpoint_dir).glob("*")) if path.is_dir()]
    rows, unknown = [], []
    for folder in folders:
        run = tracking.fetch_stored_run(folder.name)
        reason = "" if run is None else _find_reason(run)
        if folder.name in config.run_ids and (run is None or run.status != "running"):
            reason = "named"
        if reason:
            n_bytes = sum(file.stat().st_size for file in folder.glob("*"))
            rows.append({"run": folder.name, "why": reason, "MB": round(n_bytes / _MB, 2)})
        elif run is None:
            unknown.append(folder.name)
    if rows:
        print_table(pd.DataFrame(rows), f"checkpoints in {config.checkpoint_dir} to be deleted")
    else:
        print_line(f"checkpoint_dir={config.checkpoint_dir}: no checkpoint that no run goes on from")
    if unknown:
        print_line(f"left, since {tracking.get_uri()} does not know their runs: {type_override('run_ids', unknown)}")
    if rows and not config.apply:
        print_line(_NOTHING_YET)
    elif rows:
        n_deleted = 0
        for row in rows:
            with suppress(BusyError), CheckpointFolder(Path(config.checkpoint_dir, str(row["run"]))) as held:
                held.remove()
                n_deleted += 1
        print_line(f"deleted: {count(n_deleted, 'checkpoint')}")


def _find_reason(run: tracking.StoredRun) -> str:
    """Say why nothing goes on from a run's checkpoint; empty where something may."""
    if run.is_deleted or run.status in ("finished", "pruned"):
        return "deleted" if run.is_deleted else run.status
    if run.status == "running":
        return ""
    others = tracking.fetch_past_runs(run.experiment_id, run.fingerprint)
    return "finished as another run" if any(other.state == "finished" for other in others) else ""


def _delete_records(config: RunsConfig) -> None:
    """Delete kept records that are named or old; what they hold is nowhere else."""
    folder = Path(config.tracking.undelivered_dir)
    latest = time.time() - (config.older_than or 0) * _DAY
    records = [
        record
        for record in tracking.list_kept_records(folder, config.tracking.uri)
        if (not config.run_ids or record.run_id in config.run_ids) and record.kept_at <= latest
    ]
    if not records:
        print_line(f"tracking.undelivered_dir={folder}: no such records")
        return
    rows = [
        {
            "run": record.run_id,
            "kept": _describe_time(record.kept_at),
            "for": record.tracking_uri,
            "because it": record.reason,
            "MB": round(record.n_bytes / _MB, 2),
        }
        for record in records
    ]
    print_table(pd.DataFrame(rows), f"records in {folder} to be deleted; what they hold is nowhere else")
    print_line("deliver them instead: python -m mnist_flow.sync")
    if not config.apply:
        print_line(_NOTHING_YET)
        return
    if not config.run_ids and config.older_than is None:
        raise ConfigError("action=delete_records: which? Say run_ids=[ID,ID] or older_than=30")
    tracking.delete_records(records)
    print_line(f"deleted: {count(len(records), 'record')}")


def _describe_result(results: Mapping[str, float]) -> str:
    """The test accuracy of a classifier, or the test loss of another network; empty where nothing was tested."""
    if "test_accuracy" in results:
        return f"accuracy {results['test_accuracy']:.2%}"
    return f"loss {results['test_loss']:.4g}" if "test_loss" in results else ""


def _describe_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
