"""The whole reproduction's story: what is missing, train it, measure it, draw it, write it down."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from mnist_flow import tracking
from mnist_flow.analysis.report import Report, write_report
from mnist_flow.analysis.results import compare_with_published
from mnist_flow.analysis.selection import build_selection
from mnist_flow.analysis.study import run_study
from mnist_flow.config import ReproduceConfig, validate_config
from mnist_flow.console import print_line, print_missing
from mnist_flow.environment import count_cores
from mnist_flow.errors import RunError, UserError
from mnist_flow.jobs import compose_jobs
from mnist_flow.plan import PlannedJob, estimate_seconds
from mnist_flow.presets import Preset, list_presets, load_preset
from mnist_flow.resume import look_up
from mnist_flow.summary import read_results

log = logging.getLogger(__name__)

# They would put the runs of all presets into one experiment, and the first of them into the run of `mlflow run`.
_OF_THIS_RUN = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")


@dataclass(frozen=True)
class _State:
    """A preset and how far it is."""

    preset: Preset
    experiment_id: str | None
    planned: list[PlannedJob]

    @property
    def todo(self) -> list[PlannedJob]:
        return [one for one in self.planned if one.state != "finished"]

    def build_runs(self) -> pd.DataFrame:
        """One row a finished run: run_id, experiment, group, params, results."""
        named = {"experiment": self.preset.experiment_name}
        return pd.DataFrame(
            [
                {
                    **named,
                    "run_id": one.run.run_id,
                    "group": one.job.identity.group,
                    # Lists as MLflow's params have them.
                    **{key: str(value) if isinstance(value, list) else value for key, value in one.job.params.items()},
                    **read_results(one.run.metrics),
                }
                for one in self.planned
                if one.state == "finished" and one.run is not None
            ]
        )


def run_reproduction(cfg: DictConfig) -> None:
    """Train, measure and draw what is missing, then write RESULTS.md and report.html.

    Args:
        cfg: the config that Hydra composed from conf/reproduce.yaml.

    Raises:
        UserError: bad config, data or tracking server.
        RunError: some steps failed; the results of the others are written.
    """
    config = validate_config(cfg, ReproduceConfig)
    chosen = [load_preset(name) for name in (list_presets() if config.presets == "all" else config.presets)]
    own_run = tracking.adopt_project_run("analysis")
    for name in _OF_THIS_RUN:
        os.environ.pop(name, None)
    tracking.configure(config.tracking.uri)
    # Composed before anything is trained, so that a name that is not known is told at once.
    studies = _compose_studies(config, {preset.experiment_name for preset in chosen})
    for step in config.evaluations:
        _compose("evaluate", [f"measure=[{step.measure}]"])
    options = [f"hydra/launcher={config.launcher}", *config.overrides]
    states = [_look_up(preset, options) for preset in chosen]
    _print_missing(states, config.launcher)
    if config.plan:
        return

    failures = []
    for state in states:
        if state.todo:
            failures += _run_command("train", "-m", f"experiment={state.preset.name}", *options)
    failures += _evaluate(config, {preset.experiment_name for preset in chosen})
    drawn: dict[str, list[Path]] = {}
    for arguments, study in studies.items():
        try:
            drawn[arguments] = run_study(study).files
        except UserError as error:
            # What is missing is listed with the results.
            log.warning("%s: not drawn: %s", arguments, error)
    # The page is whole whatever was chosen, unless the settings are others.
    shown = chosen if config.overrides else [load_preset(name) for name in list_presets()]
    files = _write(config, [_look_up(preset, options) for preset in shown], drawn)
    if own_run:
        tracking.log_files(own_run, files, "reproduction")
    print_line("written: " + " ".join(str(file) for file in files))
    if failures:
        raise RunError(f"{len(failures)} steps failed; the same command goes on: " + "; ".join(failures))


def _compose_studies(config: ReproduceConfig, experiments: set[str]) -> dict[str, DictConfig]:
    """The studies of the experiments, cut down to these, by the arguments of the analyze command."""
    studies = {}
    for step in config.studies:
        arguments = [f"study={step.study}"]
        arguments += [f"tracking.experiment_name={step.experiment}"] if step.experiment else []
        cfg = _compose("analyze", [*arguments, f"output_dir='{Path(config.output_dir, 'results')}'"])
        wanted = [step.experiment] if step.experiment else list(cfg.study.experiments)
        kept = [name for name in wanted if name in experiments]
        if kept:
            if not step.experiment:
                cfg.study.experiments = kept
            studies[" ".join(arguments)] = cfg
    return studies


def _evaluate(config: ReproduceConfig, experiments: set[str]) -> list[str]:
    """Measure what is not measured yet; returns what failed."""
    failures = []
    data = [text for text in config.overrides if text.startswith("data.path=")]
    for step in config.evaluations:
        if step.experiment in experiments:
            chosen = f"tracking.experiment_name={step.experiment}", f"measure=[{step.measure}]"
            failures += _run_command("evaluate", *chosen, *data)
    return failures


def _look_up(preset: Preset, options: Sequence[str]) -> _State:
    jobs = compose_jobs(_compose("config", [f"experiment={preset.name}", *options], RunMode.MULTIRUN))
    experiment_id = tracking.find_experiment(preset.experiment_name)
    planned = look_up(jobs, experiment_id) if experiment_id is not None else []
    return _State(preset, experiment_id, planned or [PlannedJob(job, "new", None) for job in jobs])


def _compose(config_name: str, overrides: list[str], mode: RunMode = RunMode.RUN) -> DictConfig:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    cfg = hydra.compose_config(config_name, overrides, run_mode=mode, from_shell=False)
    if mode == RunMode.RUN:
        with open_dict(cfg):
            del cfg["hydra"]
    return cfg


def _print_missing(states: Sequence[_State], launcher: str) -> None:
    past = [one.run for state in states for one in state.planned if one.run is not None]
    rows = []
    for state in states:
        counts = Counter(one.state for one in state.planned)
        jobs = [one.job for one in state.todo]
        rows.append(
            {
                "experiment": state.preset.name,
                "jobs": len(state.planned),
                "done": counts["finished"],
                "running": counts["alive"],
                "to train": counts["new"] + counts["interrupted"],
                "seconds": estimate_seconds(jobs, past),
            }
        )
    print_missing(pd.DataFrame(rows).astype({"seconds": float}), count_cores() if launcher == "local_pool" else 1)


def _run_command(name: str, *arguments: str) -> list[str]:
    """Run a command of this package in a process of its own; returns what failed."""
    print_line(f"python -m mnist_flow.{name} {' '.join(arguments)}")
    done = subprocess.run(
        [sys.executable, "-m", f"mnist_flow.{name}", *arguments],
        env={**os.environ, **tracking.list_variables()},
        check=False,
    )
    if done.returncode in (130, 143):
        raise KeyboardInterrupt
    return [f"{name} {' '.join(arguments)} (exit status {done.returncode})"] if done.returncode else []


def _write(config: ReproduceConfig, states: Sequence[_State], drawn: Mapping[str, Sequence[Path]]) -> list[Path]:
    comparisons, selections = [], []
    links: dict[str, str] = {}
    for state in states:
        runs = state.build_runs()
        if runs.empty:
            comparisons += compare_with_published(state.preset, runs, runs)
            continue
        for run_id in runs["run_id"]:
            links[run_id] = tracking.build_run_link(str(state.experiment_id), run_id)
        shifted = _fetch_shifted(state, runs)
        comparisons += compare_with_published(state.preset, runs, shifted, same_settings=not config.overrides)
        if not state.todo:
            # Half a study would choose among what happens to be there.
            selections.append(build_selection(runs).assign(study=state.preset.published.setting))
    finished = [one for state in states for one in state.planned if one.state == "finished"]
    report = Report(
        comparisons=comparisons,
        selections=pd.concat(selections) if selections else pd.DataFrame(),
        figures={arguments: [file for file in files if file.suffix == ".svg"] for arguments, files in drawn.items()},
        unfinished={state.preset.command: (len(state.todo), len(state.planned)) for state in states if state.todo},
        links=links,
        n_runs=len(finished),
        computing_seconds=sum(one.run.metrics["fit_seconds"] for one in finished if one.run is not None),
        processors=_fetch_processors(states),
        n_other_code=sum(one.other_code for one in finished),
        overrides=config.overrides,
    )
    return write_report(report, Path(config.output_dir))


def _fetch_processors(states: Sequence[_State]) -> list[str]:
    """What the presets' first runs were trained on."""
    firsts = [next((one.run for one in state.planned if one.state == "finished"), None) for state in states]
    texts = tracking.fetch_texts([run.run_id for run in firsts if run is not None], "environment/machine.json")
    return sorted({json.loads(text)["processor"] for _, text in texts if isinstance(text, str)})


def _fetch_shifted(state: _State, runs: pd.DataFrame) -> pd.DataFrame:
    """The table `shift` of the runs, where a published number asks for it."""
    if not any(result.metric == "shifted_accuracy" for result in state.preset.published.results):
        return pd.DataFrame()
    return tracking.fetch_tables("shift", [str(state.experiment_id)], list(runs["run_id"]))
