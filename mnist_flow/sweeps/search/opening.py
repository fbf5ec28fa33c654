"""The start of a search: read and check what is asked for, open the parent run, and rebuild the study from MLflow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FixedTrial

from mnist_flow import tracking
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError
from mnist_flow.jobs.composition import Composer, Job, list_replicates
from mnist_flow.jobs.grids import list_grids
from mnist_flow.jobs.identity import compute_fingerprint
from mnist_flow.runs.registration import check_registration
from mnist_flow.runs.warm_start import find_start
from mnist_flow.sweeps.opening import describe_sweep_command, hand_over, open_parent, prepare_experiment
from mnist_flow.sweeps.search.adoption import find_finished
from mnist_flow.sweeps.search.confirmation import Confirmation
from mnist_flow.sweeps.search.coordinator import Coordinator
from mnist_flow.sweeps.search.memory import TERMS_PATH, Terms, add_reports, fetch_trials, write_kept, write_terms
from mnist_flow.sweeps.search.messages import Assignment, TrialServer
from mnist_flow.sweeps.search.outcome import build_space_table, choose_best
from mnist_flow.sweeps.search.plan import print_counts, print_included, show_plan
from mnist_flow.sweeps.search.search import Search
from mnist_flow.sweeps.search.settings import check_objective, read_settings
from mnist_flow.sweeps.search.space import Space, read_space
from mnist_flow.sweeps.search.study import TrialRecord, build_study

_LOCAL_LAUNCHERS = ("BasicLauncher", "JoblibLauncher")


def open_search(config: DictConfig) -> Search | None:
    """Open a search, whose config gets what its jobs are told; None: only its plan was asked for, and is printed.

    Raises:
        ConfigError: the space, the settings or the config of the trials are wrong.
        DataError: the data can't be had.
        TrackingError: the tracking server does not answer.
        UserError: another process runs the same search.
    """
    settings = read_settings(config.hydra.sweeper)
    space, composer = _read_space(config)
    jobs, base = _list_first_jobs(space, composer)
    check_objective(settings, base)
    build_study(settings, space, base.objectives, n_known=0)  # What it refuses is told before a run is open.
    terms, fingerprint = Terms(space.dimensions, base.objectives, base.replicates), _identify(space, jobs, base)
    if base.plan:
        show_plan(config, space, composer, terms, jobs, fingerprint, settings)
        return None
    experiment_id = prepare_experiment(base)
    _check_runs(base, terms, experiment_id, fingerprint, settings.n_trials)
    parent = open_parent(config, base, experiment_id, fingerprint, {"space": build_space_table(space)})
    parent.log_artifacts(texts={TERMS_PATH: write_terms(terms)})
    epochs = settings.pruner in ("median", "hyperband")
    records = []
    if base.resume:
        records = fetch_trials(parent.experiment_id, parent.run_id, terms, with_curves=epochs)
    if settings.include_finished:
        found = find_finished(parent.experiment_id, base, space, composer, terms, records)
        parent.set_tags(write_kept(found))
        print_included(records, len(found))
        add_reports(found, terms, with_curves=epochs)
        records += found
    n_trials = settings.n_trials + sum(record.included for record in records)
    print_counts(records, n_trials)

    search = Search(
        base,
        settings,
        parent,
        describe_sweep_command(config),
        Coordinator(
            assign=partial(_assign, space, composer, base.objective if epochs else None),
            records=records,
            study=build_study(settings, space, base.objectives, n_known=len(records)),
            space=space,
            compose=composer.compose,
            on_end=lambda record: search.hear_end(record),
            n_trials=n_trials,
            judged="epoch" if epochs else "seed" if settings.pruner == "wilcoxon" else None,
        ),
        Confirmation(
            assign=partial(_assign_confirmation, space, composer, settings.confirm_seeds), objective=base.objective
        ),
        best=choose_best(records, base.objectives),
    )
    is_local = config.hydra.launcher._target_.endswith(_LOCAL_LAUNCHERS)
    search.server = TrialServer(search.connect, everywhere=not is_local)
    varying = [f"{key.lstrip('+')}.name" if key in space.groups else key.lstrip("+") for key in space.dimensions]
    hand_over(config, parent, [*varying, "seed"], variables=search.server.list_variables())
    return search


def _check_runs(base: TrainConfig, terms: Terms, experiment_id: str, fingerprint: str, n_trials: int) -> None:
    """Check, before a run is open, that the runs which are to be started from and registered are such."""
    if base.tracking.registered_name is None and base.training.warm_start is None:
        return
    earlier = tracking.find_sweep(experiment_id, fingerprint, base.tracking.stale_after) if base.resume else None
    if base.training.warm_start is not None and earlier is None:
        find_start(base.training.warm_start)  # Of a search that goes on, only new trials need it, and each says so.
    candidates = []
    if base.tracking.registered_name is not None and earlier is not None:
        known = fetch_trials(experiment_id, earlier.run_id, terms, with_curves=False)
        # Which run is the best is certain where no trial is left.
        if sum(record.state != "running" and not record.included for record in known) >= n_trials:
            candidates = tracking.fetch_stored_runs([experiment_id], sweep=earlier.run_id)
    check_registration(base.tracking, [run.run_id for run in candidates])


def _read_space(config: DictConfig) -> tuple[Space, Composer]:
    loader = GlobalHydra.instance().config_loader()
    parser = OverridesParser.create(config_loader=loader)
    composer = Composer(config, loader, parser)
    grids = list_grids(config, loader, parser)
    if len(grids) > 1:
        raise ConfigError("experiment, jobs: a search has one preset and no list of jobs; make a search for each")
    space = read_space(parser.parse_overrides(grids[0].overrides), composer.chooses_option)
    space.check(composer.compose)
    return space, composer


def _list_first_jobs(space: Space, composer: Composer) -> tuple[list[Job], TrainConfig]:
    """The jobs of a first trial, and its config, for the keys that all trials share.

    Raises:
        ConfigError: the first value of a key is wrong, or another of its choices, which would fail each of its trials.
    """
    first = {key: _get_first(distribution) for key, distribution in space.dimensions.items()}
    choices = space.suggest(FixedTrial(first), composer.compose)
    overrides = space.list_overrides(choices)
    base = validate_config(composer.compose(overrides), TrainConfig)
    for key, distribution in space.dimensions.items():
        for choice in getattr(distribution, "choices", ())[1:]:
            other = space.suggest(FixedTrial({**first, key: choice}), composer.compose)
            try:
                validate_config(composer.compose(space.list_overrides(other)), TrainConfig)
            except ConfigError as error:
                # What is wrong beside the first value of another key may be right beside others.
                if str(error).startswith(f"{key}="):
                    raise
    return list_replicates(overrides, base), base


def _identify(space: Space, jobs: Sequence[Job], base: TrainConfig) -> str:
    """The search's fingerprint."""
    described = {
        "space": space.describe(),
        "jobs": [job.identity.fingerprint for job in jobs],
        "objective": base.objective if len(base.objectives) == 1 else list(base.objectives),
    }
    return compute_fingerprint(described)


def _get_first(distribution: Any) -> Any:
    return distribution.choices[0] if hasattr(distribution, "choices") else distribution.low


def _assign(space: Space, composer: Composer, epoch_metric: str | None, record: TrialRecord) -> Assignment:
    overrides = space.list_overrides(record.choices)
    cfg = composer.compose(overrides)
    list_replicates(overrides, validate_config(cfg, TrainConfig))  # What is wrong with it is told by its trial.
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    tags = {tracking.TRIAL_TAG: str(record.number), tracking.CHOICES_TAG: json.dumps(dict(record.choices))}
    return Assignment(record.number, tuple(overrides), composer.list_options(overrides), plain, tags, epoch_metric)


def _assign_confirmation(space: Space, composer: Composer, n_seeds: int, record: TrialRecord) -> Assignment:
    assignment = _assign(space, composer, None, record)
    config = dict(assignment.config)
    # After those that the search has used.
    config |= {"seed": config["seed"] + config["replicates"], "replicates": n_seeds}
    return replace(assignment, config=config, tags={**assignment.tags, tracking.CONFIRMS_TAG: "true"})
