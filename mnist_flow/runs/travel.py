"""Runs that go to a folder, and from there to another store or server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnist_flow import tracking
from mnist_flow.config.overrides import type_override
from mnist_flow.config.runs import RunsConfig
from mnist_flow.errors import ConfigError, RunError, TrackingError
from mnist_flow.runtime.terminal import count, print_line


def export_to_folder(config: RunsConfig, runs: Sequence[tracking.StoredRun]) -> None:
    """Export runs with those above and below them.

    Raises:
        UserError: no folder is named, or it holds something, or a run is running, or something can't be had.
    """
    folder = _get_folder(config)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"folder={folder}: is there and not empty; choose another, or move it away")
    chosen = tracking.list_with_parents(tracking.list_with_children(runs))
    if not chosen:
        raise ConfigError(f"{tracking.get_uri()}: no such runs; nothing is exported")
    tracking.export_runs(chosen, folder)
    print_line(f"exported to {folder}: {count(len(chosen), 'run')}")
    typed = type_override("folder", str(folder))
    print_line(f"import them: python -m mnist_flow.runs action=import {typed} tracking.uri=URI")


def import_from_folder(config: RunsConfig) -> None:
    """Import the runs of a folder that are not there yet.

    Raises:
        UserError: no folder is named, or it holds no export, or the server does not answer.
        RunError: the server went away in between; the same command goes on.
    """
    folder, n_new, n_known = _get_folder(config), 0, 0
    try:
        for _, is_new in tracking.import_runs(folder, config.tracking.experiment_name):
            n_new, n_known = n_new + is_new, n_known + (not is_new)
    except TrackingError as error:
        if not n_new:
            raise
        raise RunError(f"{error}; imported so far: {count(n_new, 'run')}; the same command goes on") from error
    print_line(f"imported into {tracking.get_uri()}: {count(n_new, 'run')}; there already: {n_known}")


def _get_folder(config: RunsConfig) -> Path:
    if config.folder is None:
        raise ConfigError(f"action={config.action}: which folder? Say folder=FOLDER")
    return Path(config.folder).expanduser()
