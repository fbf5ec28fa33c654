"""Training, evaluation and analysis as functions: each composes the config of its command and does what that does."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_flow.api.composition import Overrides, composed, split_overrides
from mnist_flow.api.records import Run, run
from mnist_flow.api.turns import check_tensorflow_works
from mnist_flow.errors import ConfigError
from mnist_flow.runs.observer import RunObserver

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Pixels an inch of a study that a notebook shows.
_DPI = 100


class _NotingObserver(RunObserver):
    """Notes which run is made, or was found."""

    def __init__(self) -> None:
        self.run_id: str | None = None

    def on_start(self, run_id: str) -> None:
        self.run_id = run_id

    on_found = on_start


def train(overrides: Overrides = (), *, config_dir: str | Path | None = None) -> Run:
    """Train, measure and track one network, unless a finished run of the same config, data and code is there already.

    Args:
        overrides: what `python -m mnist_flow.train` takes, as one text, "data=digits epochs=2", or as a list.
        config_dir: a folder with options of your own, as `--config-dir` names it.

    Returns:
        The run.

    Raises:
        UserError: bad config, data or tracking server, or a process forked from one that has used TensorFlow; no run is
            left in MLflow.
        RunError: the training failed, and the run is marked FAILED; or its record could not be delivered.
    """
    check_tensorflow_works()
    words = split_overrides(overrides)
    observer = _NotingObserver()
    with composed("config", words, config_dir) as cfg:
        from mnist_flow.runs.orchestrator import run_experiment

        if cfg.plan:
            raise ConfigError("plan=true: makes no run; mnist_flow.sweep takes it")
        run_experiment(cfg, observer, words)
        assert observer.run_id is not None
        return run(observer.run_id, uri=cfg.tracking.uri)


def evaluate(overrides: Overrides = (), *, config_dir: str | Path | None = None) -> pd.DataFrame:
    """Measure logged models anew, unless that is done; an evaluation is a run below its training run.

    Args:
        overrides: what `python -m mnist_flow.evaluate` takes, see `train`.
        config_dir: see `train`.

    Returns:
        One row per evaluation, those done before included: run, run_id, seed, measure, the measure's numbers,
        evaluation (its run id), state.

    Raises:
        UserError: bad config, a tracking server that does not answer, or no run that can be measured.
        RunError: some runs could not be measured; all others are.
    """
    check_tensorflow_works()
    with composed("evaluate", split_overrides(overrides), config_dir) as cfg:
        from mnist_flow.evaluation.orchestrator import evaluate_runs

        return evaluate_runs(cfg)


@dataclass(frozen=True)
class Study:
    """What a study has drawn; a notebook shows its first figure."""

    # By what they show; "" is the study itself. Those of images of the data set are among them.
    figures: Mapping[str, Figure] = field(repr=False)
    # Tidy tables, by what they show.
    tables: Mapping[str, pd.DataFrame] = field(repr=False)
    # What was not there, a line each, with the command that makes it.
    missing: list[str]

    @property
    def figure(self) -> Figure:
        """The first figure."""
        return next(iter(self.figures.values()))

    @property
    def table(self) -> pd.DataFrame:
        """The first table."""
        return next(iter(self.tables.values()))

    def _repr_png_(self) -> bytes:
        shown = io.BytesIO()
        self.figure.savefig(shown, format="png", dpi=_DPI)
        return shown.getvalue()


def study(overrides: Overrides = (), *, config_dir: str | Path | None = None) -> Study:
    """Draw a study; unlike the command, write no files and log nothing.

    Args:
        overrides: what `python -m mnist_flow.analyze` takes, such as "study=curves", see `train`.
        config_dir: see `train`.

    Raises:
        UserError: bad config, a tracking server that does not answer, or no runs.
    """
    with composed("analyze", split_overrides(overrides), config_dir) as cfg:
        from mnist_flow.analysis.study import draw_study

        runs, drawing = draw_study(cfg)
    return Study({**drawing.figures, **drawing.pictures}, drawing.tables, runs.missing)
