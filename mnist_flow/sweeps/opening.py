"""The start of a sweep: find which jobs are done, open the parent run where something is left to do, tell the jobs."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf

from mnist_flow import tracking
from mnist_flow.config.overrides import list_config_dirs, quote_argument, write_sweep_command
from mnist_flow.config.train import TrainConfig
from mnist_flow.errors import RunError
from mnist_flow.jobs.grids import read_overrides
from mnist_flow.jobs.identity import compute_fingerprint
from mnist_flow.jobs.lookup import look_up, match
from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.jobs.tables import build_grid, build_replicates, build_summary, find_telling
from mnist_flow.jobs.workers import count_workers
from mnist_flow.runs.earlier import can_go_on, list_shorter
from mnist_flow.runs.registration import check_registration
from mnist_flow.runs.warm_start import find_start
from mnist_flow.runtime.terminal import count, print_line
from mnist_flow.sweeps.models import choose_best_run, settle_models
from mnist_flow.sweeps.outcomes import name_tables, print_best
from mnist_flow.sweeps.request import SweepRequest
from mnist_flow.sweeps.session import get_session
from mnist_flow.sweeps.sweep import Sweep
from mnist_flow.tracking import TrackedRun
from mnist_flow.training.checkpoint import remove_leftover

log = logging.getLogger(__name__)

# Ray's workers have the variables of the shell that started their node; those of other launchers have this process's.
_REMOTE_LAUNCHER = "RayLauncher"
_CARRIED_VARIABLES = ("MNIST_NPZ", "TF_CPP_MIN_LOG_LEVEL")


def open_sweep(config: DictConfig, request: SweepRequest) -> Sweep | None:
    """Open a sweep, whose config gets what its jobs are told; None: every job is done already, and is printed.

    Raises:
        ConfigError: the tracking config is wrong.
        TrackingError: the tracking server does not answer.
        BusyError: another process runs the same sweep.
        RunError: every job is done, and the best model can't be registered, or others can't be deleted.
    """
    jobs, base = request.jobs, request.base
    experiment_id = prepare_experiment(base)
    planned = look_up(jobs, experiment_id) if base.resume else match([], jobs)
    # What is not there is told before a run is open; who goes on from a kept state has its weights there.
    starting = [one.job for one in planned if one.state == "new" and one.job.config.training.warm_start is not None]
    from_weights = [job for job in starting if not any(map(can_go_on, list_shorter(job, experiment_id)))]
    for run_id in {job.config.training.warm_start for job in from_weights}:
        find_start(str(run_id))
    _print_counts(planned)
    fingerprint = compute_fingerprint({"jobs": sorted({job.identity.fingerprint for job in jobs})}) if jobs else None
    finished = [one.run for one in planned if one.state == "finished" and one.run is not None]
    for run in finished:
        remove_leftover(base.training.checkpoint_dir, run.run_id)
    all_done = bool(planned) and all(one.state == "finished" for one in planned)
    best = choose_best_run(finished, base.objective) if all_done else None
    check_registration(base.tracking, [] if best is None else [best])
    if all_done and not tracking.is_project_run():
        last = tracking.find_sweep(experiment_id, fingerprint, base.tracking.stale_after)
        # The main process of one that was cut off may have been killed while its workers went on.
        if last is None or not last.was_cut_off:
            print_best(jobs, build_replicates(build_summary(planned, ["skipped"] * len(planned))), base.objective)
            trouble = settle_models(base.tracking, experiment_id, None if last is None else last.run_id, best)
            if last is not None:
                print_line(f"look: {tracking.describe_look(experiment_id, last.run_id)}")
            if trouble:
                raise RunError(trouble)
            return None
    # Logged at once, so that what is missing can be told while the sweep goes on.
    parent = open_parent(config, base, experiment_id, fingerprint, {"grid": build_grid(jobs)} if jobs else {})
    command = describe_sweep_command(config)
    # Replicates are jobs of their own by now.
    hand_over(config, parent, find_telling(jobs), ["replicates=1"] if jobs else [])
    return Sweep(jobs, base, parent, planned, command, partial(count_workers, config))


def open_parent(
    config: DictConfig, base: TrainConfig, experiment_id: str, fingerprint: str | None, tables: dict[str, pd.DataFrame]
) -> TrackedRun:
    """Open the parent run of a sweep or a search, and log what was typed and what it consists of.

    Args:
        config: Hydra's, of the command.
        base: the config of any job.
        experiment_id: where the run goes.
        fingerprint: of the set of jobs; None where they are not known beforehand.
        tables: by name; they are logged in sweep/.
    """
    typed = _list_typed(config)
    telling = _list_telling(read_overrides(config.hydra.overrides.task))
    parent = tracking.open_sweep(
        experiment_id,
        fingerprint,
        typed,
        name=f"sweep {' '.join(telling)}",
        resume=base.resume,
        stale_after=base.tracking.stale_after,
        options=tracking.DeliveryOptions(base.tracking.patience, Path(base.tracking.undelivered_dir)),
    )
    get_session().parent = parent
    parent.keep_console(get_session().console)
    texts = {"sweep/overrides.yaml": OmegaConf.to_yaml(typed)}
    if config.jobs is not None:
        is_typed = isinstance(config.jobs, ListConfig)  # The list itself, in place of a file.
        texts["sweep/jobs.yaml"] = (
            OmegaConf.to_yaml(config.jobs) if is_typed else Path(config.jobs).read_text(encoding="utf-8")
        )
    parent.log_artifacts(texts=texts, tables=name_tables(**tables))
    parent.set_tags({tracking.NOTE_TAG: f"Made by: `{describe_sweep_command(config)}`"})
    return parent


def _list_telling(typed: list[str]) -> list[str]:
    """The overrides that tell a sweep apart, those that vary first: MLflow's table shows the first twenty letters."""
    parsed = OverridesParser.create().parse_overrides(typed)
    told = [(not override.is_sweep_override(), text) for override, text in zip(parsed, typed, strict=True)]
    return [text for _, text in sorted(told, key=itemgetter(0)) if not text.startswith("tracking.")]


def describe_sweep_command(config: DictConfig) -> str:
    """The command of a sweep, as it is typed; `config` is Hydra's, before its jobs are told anything."""
    return write_sweep_command(" ".join(map(quote_argument, _list_typed(config))))


def _list_typed(config: DictConfig) -> list[str]:
    """What was typed: the folder of own options, or the run of a rerun, then overrides, Hydra's own at the end."""
    is_rerun = config.hydra.job.config_name == "rerun"  # Its folder is temporary.
    first = [f"run_id={config.tracking.rerun_of}"] if is_rerun else list_config_dirs(config.hydra)
    of_hydra = [text for text in read_overrides(config.hydra.overrides.hydra) if not text.startswith("hydra.mode=")]
    return [*first, *read_overrides(config.hydra.overrides.task), *of_hydra]


def prepare_experiment(base: TrainConfig) -> str:
    """Connect to the tracking server, deliver kept records, and close runs whose processes died.

    Returns:
        The id of the experiment, which is created where there is none.
    """
    tracking.configure(base.tracking.uri, base.tracking.experiment_name)
    experiment_id = tracking.get_or_create_experiment(base.tracking.experiment_name)
    tracking.deliver_kept_records(Path(base.tracking.undelivered_dir))
    tracking.close_stale_runs(experiment_id, base.tracking.stale_after)
    return experiment_id


def _print_counts(planned: Sequence[PlannedJob]) -> None:
    """Print how many jobs are done, are resumed and are new, and warn of code or data that has changed since."""
    counts = Counter(one.state for one in planned)
    if not planned:
        return
    parts = [f"{counts['finished']} skipped", f"{counts['interrupted']} resumed", f"{counts['new']} new"]
    parts += [f"{counts['alive']} running in other processes"] if counts["alive"] else []
    print_line(f"{count(len(planned), 'job')}: {', '.join(parts)}")
    if other_code := sum(one.other_code for one in planned):
        log.warning(
            "%d of them were made by another version of the code; tracking.changed_code=retrain trains them anew",
            other_code,
        )
    if other_data := sum(one.other_data for one in planned):
        log.warning("%d of them are finished on other data (its digest changed), and are trained anew", other_data)


def hand_over(
    config: DictConfig,
    parent: TrackedRun,
    varying: Iterable[str],
    overrides: Sequence[str] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Tell the jobs of a sweep, under any launcher, their experiment, their parent run, and the params that vary.

    `hydra.overrides.hydra` is extended: Hydra composes each job's config with these overrides, and sets the variables
    in them around the job.

    Args:
        parent: run of the sweep.
        varying: params that vary.
        overrides: of each job.
        variables: that each job is to have beside those.
    """
    config.hydra.overrides.hydra += [
        f"+hydra.job.env_set.{tracking.EXPERIMENT_ID_VARIABLE}='{parent.experiment_id}'",
        f"+hydra.job.env_set.{tracking.PARENT_RUN_ID_VARIABLE}='{parent.run_id}'",
        f"+hydra.job.env_set.{tracking.VARYING_VARIABLE}='{','.join(varying)}'",
        *overrides,
        *_carry_variables({**_list_carried(config), **variables}),
    ]


def _list_carried(config: DictConfig) -> dict[str, str]:
    """List the environment variables of this process that a remote launcher's jobs do not have by themselves."""
    if not config.hydra.launcher._target_.endswith(_REMOTE_LAUNCHER):
        return {}
    given = {name: os.environ[name] for name in _CARRIED_VARIABLES if name in os.environ}
    return {**given, **tracking.list_variables()}


def _carry_variables(variables: Mapping[str, str]) -> list[str]:
    """Return overrides with which Hydra sets environment variables around each job.

    The overrides hold no values, because Hydra's config is kept and logged and a value may be a password. The values
    travel in an OmegaConf resolver, which is pickled with the job.
    """

    def get_variable(name: str) -> str:
        return variables[name]

    OmegaConf.register_new_resolver("sweep_variable", get_variable, replace=True)
    return [f"+hydra.job.env_set.{name}='${{sweep_variable:{name}}}'" for name in variables]
