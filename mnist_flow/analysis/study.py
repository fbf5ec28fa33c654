"""One study's story: query, build, draw, save, log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mnist_flow import tracking
from mnist_flow.analysis import (
    cnn,
    compare,
    confusion,
    curves,
    learning_rate,
    noise_layer,
    regularization,
    shift,
    width,
)
from mnist_flow.analysis.drawing import Drawing, save_drawing
from mnist_flow.analysis.query import StudyRuns, fetch_study_runs
from mnist_flow.analysis.selection import build_selection
from mnist_flow.config import AnalyzeConfig, validate_config
from mnist_flow.errors import TrackingError

log = logging.getLogger(__name__)

# A study is a module with `draw`, a schema in config.py and a file in conf/study, all by this name.
_STUDIES: dict[str, Callable[[StudyRuns, Any], Drawing]] = {
    "cnn": cnn.draw,
    "compare": compare.draw,
    "confusion": confusion.draw,
    "curves": curves.draw,
    "learning_rate": learning_rate.draw,
    "noise_layer": noise_layer.draw,
    "regularization": regularization.draw,
    "shift": shift.draw,
    "width": width.draw,
}


# Of a table that is printed; longer ones are for reading from their files.
_MAX_ROWS = 50


@dataclass(frozen=True)
class StudyResult:
    """What a study left."""

    # PNG, SVG and CSV; also in the artifacts of the sweeps that the runs belong to.
    files: list[Path]
    # What was not there, a line each, with the command that makes it.
    missing: list[str]


def run_study(cfg: DictConfig) -> StudyResult:
    """Draw the study that `cfg` describes.

    Args:
        cfg: the config that Hydra composed from conf/analyze.yaml.

    Raises:
        UserError: bad config, a tracking server that does not answer, or no runs.
    """
    config = validate_config(cfg, AnalyzeConfig)
    study = config.study
    tracking.configure(config.tracking.uri)
    runs = fetch_study_runs(config)
    drawing = _STUDIES[study.name](runs, study)
    selection = build_selection(runs.table)
    if len(selection):
        drawing = replace(drawing, tables={**drawing.tables, "selection": selection})
    files = save_drawing(drawing, Path(config.output_dir), study.name)
    _log(files, runs, study.name)
    _print(runs, drawing, files)
    return StudyResult(files, runs.missing)


def _log(files: list[Path], runs: StudyRuns, name: str) -> None:
    """To every sweep that the runs belong to; one whose artifacts can't be written does not stop the others."""
    for run_id in sorted({*runs.table["parent_run_id"].dropna(), tracking.adopt_project_run("analysis")} - {None}):
        try:
            tracking.log_files(run_id, files, f"analysis/{name}")
        except TrackingError as error:
            log.warning("run %s: its analysis/%s can't be logged: %s", run_id, name, error)


def _print(runs: StudyRuns, drawing: Drawing, files: list[Path]) -> None:
    count = len(runs.table)
    experiments = "', '".join(runs.table["experiment"].unique())
    plural = "s" if "', '" in experiments else ""
    print(f"{count} run{'s' if count > 1 else ''} of experiment{plural} '{experiments}':")
    for table in drawing.tables.values():
        if len(table) <= _MAX_ROWS:
            print(table.to_string(index=False, float_format=lambda value: f"{value:.6g}"))
    print("written: " + " ".join(str(file) for file in files))
