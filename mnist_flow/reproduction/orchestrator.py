"""Reproduce the reports: train, measure and draw what is missing, then write the pages."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from mnist_flow import tracking
from mnist_flow.analysis.selection import build_selection
from mnist_flow.analysis.study import StudyResult, run_study
from mnist_flow.config.overrides import quote_argument, write_override
from mnist_flow.config.presets import Preset, load_preset
from mnist_flow.config.reproduce import EvaluationStep, ReproduceConfig, StudyStep
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError, RunError, UserError
from mnist_flow.jobs.composition import Job, compose_jobs
from mnist_flow.jobs.lookup import look_up
from mnist_flow.jobs.plan import PlannedJob, estimate_seconds
from mnist_flow.jobs.tables import build_run_table
from mnist_flow.jobs.workers import count_workers
from mnist_flow.reproduction.report import Page, make_folder, write_report
from mnist_flow.reproduction.results import compare_with_published
from mnist_flow.runtime.influences import settle_variables
from mnist_flow.runtime.processes import wait_for_end
from mnist_flow.runtime.signals import way_on_told
from mnist_flow.runtime.terminal import print_line, print_missing

log = logging.getLogger(__name__)

# Removed for the commands started here: they would put the runs of all presets into one experiment, and the first of
# them into the run of `mlflow run`.
_OF_THIS_RUN = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")


@dataclass(frozen=True)
class _State:
    """A preset with its jobs, and the runs that they already have."""

    preset: Preset
    experiment_id: str | None
    planned: list[PlannedJob]

    @property
    def jobs(self) -> list[Job]:
        return [one.job for one in self.planned]

    @property
    def finished(self) -> list[PlannedJob]:
        return [one for one in self.planned if one.state == "finished"]

    @property
    def todo(self) -> list[PlannedJob]:
        return [one for one in self.planned if one.state != "finished"]

    def build_runs(self) -> pd.DataFrame:
        """One row a finished run, see `build_run_table`."""
        runs = [one.run for one in self.finished if one.run is not None]
        return build_run_table(runs, {str(self.experiment_id): self.preset.name})


@way_on_told()
def run_reproduction(cfg: DictConfig) -> None:
    """Train, measure and draw what is missing, then write each part's page and report.html.

    Args:
        cfg: the config that Hydra composed from conf/reproduce.yaml.

    Raises:
        UserError: bad config, data or tracking server.
        RunError: some steps failed; the results of the others are written.
    """
    settle_variables()
    config = validate_config(cfg, ReproduceConfig)
    chosen = _choose_presets(config)
    own_run = tracking.adopt_project_run("analysis")
    for name in _OF_THIS_RUN:
        os.environ.pop(name, None)
    tracking.configure(config.tracking.uri)
    tracking.close_dead_runs()
    # Composed before anything is trained, so that a name that is not known is told at once.
    studies = {part: _compose_studies(config.parts[part].studies, config.output_dir) for part in chosen}
    evaluations = [step for part in chosen for step in config.parts[part].evaluations]
    for step in evaluations:
        compose("evaluate", [f"measure=[{step.measure}]", *step.overrides])
    launchers = {part: config.parts[part].launcher or config.launcher for part in chosen}
    options = {part: [f"hydra/launcher={launcher}", *config.overrides] for part, launcher in launchers.items()}
    part_of = {preset.name: part for part, presets in chosen.items() for preset in presets}
    states = {
        preset.name: _look_up(preset, _compose_jobs(preset, options[part]))
        for part, presets in chosen.items()
        for preset in presets
    }
    n_todo = sum(len(state.todo) for state in states.values())
    workers = {
        launcher: count_workers(_compose_sweep(f"hydra/launcher={launcher}", *config.overrides), n_todo)
        for launcher in set(launchers.values())
    }
    _print_missing(list(states.values()), [workers[launchers[part_of[name]]] for name in states])
    if not config.plan:
        # Before what takes hours.
        make_folder(Path(config.output_dir))
    failures = []
    # A search knows itself which of its trials are done.
    for part in chosen:
        for search in map(load_preset, config.parts[part].searches):
            planned = ["plan=true"] if config.plan else []
            failures += _run_command("train", *search.arguments, *options[part], *planned)
    if config.plan:
        return

    for name, state in states.items():
        if state.todo:
            failures += _run_command("train", *state.preset.arguments, *options[part_of[name]])
    failures += _evaluate([step for step in evaluations if step.experiment in states], config.overrides)
    pages = []
    for part, presets in chosen.items():
        # The page is whole whatever was chosen, unless the settings are others.
        section = config.parts[part]
        shown = presets if config.overrides else [load_preset(name) for name in [*section.presets, *section.needs]]
        jobs = [states[one.name].jobs if one.name in states else _compose_jobs(one, options[part]) for one in shown]
        now = [_look_up(one, of_preset) for one, of_preset in zip(shown, jobs, strict=True)]
        if page := _build_page(config, part, now, studies[part]):
            pages.append(page)
    files = write_report(pages, Path(config.output_dir))
    if files:
        if own_run:
            tracking.log_files(own_run, files, "reproduction")
        print_line("written: " + " ".join(str(file) for file in files))
    if failures:
        raise RunError(f"{len(failures)} steps failed; the same command goes on: " + "; ".join(failures))


def _choose_presets(config: ReproduceConfig) -> dict[str, list[Preset]]:
    """The presets to train, by part, those it needs last; a part without any of its own is left out.

    Raises:
        ConfigError: there is no such preset, or none of the parts has it.
    """
    chosen = {part: section.presets for part, section in config.parts.items()}
    if config.presets != "all":
        for wanted in config.presets:
            if not any(load_preset(wanted).name in presets for presets in chosen.values()):
                raise ConfigError(f"presets: '{wanted}' is in none of parts=[{','.join(chosen)}]; choose its part too")
        chosen = {part: [name for name in presets if name in config.presets] for part, presets in chosen.items()}
    return {
        part: [load_preset(name) for name in [*presets, *config.parts[part].needs]]
        for part, presets in chosen.items()
        if presets
    }


def _compose_studies(steps: Sequence[StudyStep], output_dir: str) -> dict[str, DictConfig]:
    """The configs of the studies, by the arguments of the analyze command."""
    folder = write_override("output_dir", str(Path(output_dir, "results")))
    return {" ".join(step.arguments): compose("analyze", [*step.arguments, folder]) for step in steps}


def _evaluate(steps: Sequence[EvaluationStep], overrides: Sequence[str]) -> list[str]:
    """Run the evaluate command for each step; returns the steps that failed."""
    failures = []
    data = [text for text in overrides if text.startswith("data.path=")]
    for step in steps:
        chosen = write_override("tracking.experiment_name", step.experiment), f"measure=[{step.measure}]"
        failures += _run_command("evaluate", *chosen, *step.overrides, *data)
    return failures


def _compose_jobs(preset: Preset, options: Sequence[str]) -> list[Job]:
    """Compose the jobs of a preset; an error of an option that does not suit it names it."""
    try:
        return compose_jobs(_compose_sweep(f"experiment={preset.name}", *options))
    except (ConfigError, HydraException) as error:
        error.add_note(f"experiment={preset.name}; presets=[NAME] chooses others")
        raise


def _compose_sweep(*overrides: str) -> DictConfig:
    """Compose the config of a sweep, with its launcher and sweeper; `hydra.compose` leaves them out."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    return hydra.compose_config("config", list(overrides), run_mode=RunMode.MULTIRUN, from_shell=False)


def _look_up(preset: Preset, jobs: Sequence[Job]) -> _State:
    experiment_id = tracking.find_experiment(preset.name)
    planned = look_up(jobs, experiment_id) if experiment_id is not None else []
    return _State(preset, experiment_id, planned or [PlannedJob(job, "new", None) for job in jobs])


def _print_missing(states: Sequence[_State], workers: Sequence[int | None]) -> None:
    past = [one.run for state in states for one in state.planned if one.run is not None]
    rows = [
        {
            "experiment": state.preset.name,
            "jobs": len(state.planned),
            "done": len(state.finished),
            "running": sum(one.state == "alive" for one in state.planned),
            "to train": sum(one.state in ("new", "interrupted") for one in state.planned),
            "seconds": estimate_seconds([one.job for one in state.todo], past),
            "workers": n_workers,
        }
        for state, n_workers in zip(states, workers, strict=True)
    ]
    print_missing(pd.DataFrame(rows).astype({"seconds": float, "workers": float}))


def _run_command(name: str, *arguments: str) -> list[str]:
    """Run a command of this package in a process of its own; returns what failed."""
    print_line(f"python -m mnist_flow.{name} {' '.join(map(quote_argument, arguments))}")
    command = [sys.executable, "-m", f"mnist_flow.{name}", *arguments]
    # subprocess.run would kill it when this process is interrupted, and its runs would stay RUNNING.
    with subprocess.Popen(command, env={**os.environ, **tracking.list_variables()}) as process:
        try:
            status = process.wait()
        except BaseException as ending:
            wait_for_end(process, ending)
            raise
    if status in (130, 143):
        raise KeyboardInterrupt
    return [f"{name} {' '.join(arguments)} (exit status {status})"] if status else []


def _build_page(
    config: ReproduceConfig, part: str, states: Sequence[_State], studies: Mapping[str, DictConfig]
) -> Page | None:
    """Draw the figures of a part and collect what its page shows; None where no run of it is finished."""
    section = config.parts[part]
    finished = [one for state in states for one in state.finished]
    if not finished:
        log.warning("%s: not written: no run of parts=[%s] is finished", section.page, part)
        return None
    comparisons, selections = [], []
    links: dict[str, str] = {}
    pages = tracking.find_pages()
    for state in states:
        runs = state.build_runs()
        if state.preset.name in section.presets:
            shifted = _fetch_shifted(state, runs)
            comparisons += compare_with_published(state.preset, runs, shifted, same_settings=not config.overrides)
        if runs.empty:
            continue
        links |= {run_id: tracking.build_run_link(pages, str(state.experiment_id), run_id) for run_id in runs["run_id"]}
        if not state.todo:
            # Half a study would choose among what happens to be there.
            selections.append(build_selection(runs, min_settings=1).assign(study=state.preset.published.setting))
    runs_of = {state.preset.name: list(state.build_runs()["run_id"]) for state in states if state.finished}
    results = _draw(studies, {**dict.fromkeys(section.searches, ()), **runs_of})
    return Page(
        part=part,
        template=section.template or part,
        title=section.title,
        file=section.page,
        comparisons=sorted(comparisons, key=lambda one: one.published.row),
        selections=pd.concat(selections) if selections else pd.DataFrame(),
        figures={
            # Pictures of the data set, which are PNG files, are not published.
            arguments: drawn
            for arguments, result in results.items()
            if (drawn := [file for file in result.files if file.suffix == ".svg"])
        },
        tables={arguments: result.tables for arguments, result in results.items()},
        headings={" ".join(step.arguments): step.tables for step in section.studies},
        unfinished={
            " ".join([state.preset.command, *map(quote_argument, config.overrides)]): (
                len(state.todo),
                len(state.planned),
            )
            for state in states
            if state.todo
        },
        links=links,
        runs=pd.concat([state.build_runs() for state in states if state.finished]),
        computing_seconds=sum(one.run.metrics["fit_seconds"] for one in finished if one.run is not None),
        processors=_fetch_processors(states),
        precisions=sorted({one.job.config.training.precision for one in finished}),
        n_other_code=sum(one.other_code for one in finished),
        overrides=config.overrides,
        chosen=[] if config.presets == "all" else [name for name in section.presets if name in config.presets],
    )


def _draw(studies: Mapping[str, DictConfig], runs_of: Mapping[str, Sequence[str]]) -> dict[str, StudyResult]:
    """Draw the studies of those of their experiments that have runs; results by arguments of the analyze command.

    Other runs of these experiments, such as those of a trial with other settings, are left out. A search, which chooses
    its runs itself, has no run ids here.
    """
    drawn = {}
    for arguments, cfg in studies.items():
        named = cfg.tracking.experiment_name
        kept = [name for name in ([named] if named else cfg.study.experiments) if name in runs_of]
        if not kept:
            continue
        if not named:
            cfg.study.experiments = kept
        if run_ids := [f"'{run_id}'" for name in kept for run_id in runs_of[name]]:
            own = f"attributes.run_id IN ({', '.join(run_ids)})"
            cfg.study.filter = f"{cfg.study.filter} and {own}" if cfg.study.filter else own
        try:
            drawn[arguments] = run_study(cfg)
        except UserError as error:
            # What is missing is listed with the results.
            log.warning("%s: not drawn: %s", arguments, error)
    return drawn


def _fetch_processors(states: Sequence[_State]) -> list[str]:
    """Names of the processors that the presets' first runs were trained on."""
    firsts = [state.finished[0].run for state in states if state.finished]
    texts = tracking.fetch_texts([run.run_id for run in firsts if run is not None], "environment/machine.json")
    processors = set()
    for run_id, text in texts:
        if isinstance(text, str):
            try:
                processors.add(str(json.loads(text)["processor"]))
            except (ValueError, KeyError, TypeError):
                log.warning(
                    "run %s: its artifact environment/machine.json is damaged; its processor is left out", run_id
                )
    return sorted(processors)


def _fetch_shifted(state: _State, runs: pd.DataFrame) -> pd.DataFrame:
    """Fetch the table `shift` of the runs, where a published number is about shifted images."""
    if runs.empty or not any(result.metric == "shifted_accuracy" for result in state.preset.published.results):
        return pd.DataFrame()
    return tracking.fetch_tables("shift", [str(state.experiment_id)], list(runs["run_id"]))
