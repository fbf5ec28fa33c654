"""Run one study: fetch the runs, draw them, save the figures and tables, log and print them."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib import style
from omegaconf import DictConfig

from mnist_flow import tracking
from mnist_flow.analysis.drawing import Drawing, save_drawing
from mnist_flow.analysis.printing import print_study
from mnist_flow.analysis.query import StudyRuns, fetch_study_runs
from mnist_flow.analysis.selection import build_selection
from mnist_flow.config.analyze import AnalyzeConfig
from mnist_flow.config.options import find_module
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import TrackingError
from mnist_flow.figures import STYLE
from mnist_flow.runtime.own_code import refuse_result
from mnist_flow.runtime.project import prefer_typed_experiment

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyResult:
    """What a study has written and found missing."""

    # PNG, SVG and CSV; also in the artifacts of the sweeps that the runs belong to.
    files: list[Path]
    # What was not there, a line each, with the command that makes it.
    missing: list[str]
    # By what they show; "" is the study itself.
    tables: dict[str, pd.DataFrame]


@style.context(STYLE)
def run_study(cfg: DictConfig) -> StudyResult:
    """Draw the study that `cfg` describes, save its figures and tables, log them to its sweeps, and print them.

    Args:
        cfg: the config that Hydra composed from conf/analyze.yaml.

    Raises:
        UserError: bad config, a tracking server that does not answer, or no runs.
    """
    config = validate_config(cfg, AnalyzeConfig)
    own_run = _connect(config)
    runs, drawing = _draw(config)
    name = _choose_name(config, runs)
    # Who calls `mlflow run` may be in another folder than the project's, where the command runs.
    folder = Path(config.output_dir).absolute() if own_run else Path(config.output_dir)
    files = save_drawing(drawing, folder, name)
    parents = runs.table["parent_run_id"].dropna() if drawing.parent_run_id is None else [drawing.parent_run_id]
    _log(files, {*parents, own_run} - {None}, name)
    print_study(runs, drawing, files)
    return StudyResult(files, runs.missing, drawing.tables)


@style.context(STYLE)
def draw_study(cfg: DictConfig) -> tuple[StudyRuns, Drawing]:
    """Draw the study that `cfg` describes, and write nothing; see `run_study`."""
    config = validate_config(cfg, AnalyzeConfig)
    _connect(config)
    return _draw(config)


def _connect(config: AnalyzeConfig) -> str | None:
    """Choose the tracking server; returns the run that `mlflow run` created for the analysis, if any."""
    prefer_typed_experiment(config.tracking.experiment_name is not None)
    tracking.configure(config.tracking.uri, config.tracking.experiment_name, writes=False)
    tracking.close_dead_runs()
    return tracking.adopt_project_run("analysis")


def _draw(config: AnalyzeConfig) -> tuple[StudyRuns, Drawing]:
    study = config.study
    runs = fetch_study_runs(config)
    draw = find_module(study).draw
    drawing = draw(runs, study)
    if not isinstance(drawing, Drawing):
        raise refuse_result(draw, drawing, "a mnist_flow.analysis.drawing.Drawing")
    # A search has chosen already, and has opened the test set for that one alone.
    selection = build_selection(runs.table) if drawing.parent_run_id is None else pd.DataFrame()
    if len(selection):
        drawing = replace(drawing, tables={**drawing.tables, "selection": selection})
    return runs, drawing


def _choose_name(config: AnalyzeConfig, runs: StudyRuns) -> str:
    """What the files are called: the study, and the experiment where another one than the study's own was asked for.

    So the figures of one experiment do not replace those of another.
    """
    experiments = list(runs.table["experiment"].unique())
    if config.tracking.experiment_name is None or experiments == config.study.experiments:
        return config.study.name
    # A name in MLflow may hold anything, a slash too.
    shown = re.sub(r"[^\w.-]+", "_", "-".join(experiments))
    return f"{config.study.name}-{shown}"


def _log(files: list[Path], run_ids: set[str], name: str) -> None:
    """Log the files to runs; one whose artifacts can't be written does not stop the others."""
    if run_ids and (path := tracking.find_unwritable()):
        log.warning("%s: can't be written, so the files are not logged to the runs", path)
        return
    for run_id in sorted(run_ids):
        try:
            tracking.log_files(run_id, files, f"analysis/{name}")
        except TrackingError as error:
            log.warning("run %s: its analysis/%s can't be logged: %s", run_id, name, error)
