"""The start of a search: read and check what is asked for, open the parent run, and rebuild the study from MLflow."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mnist_flow import tracking
from mnist_flow.config.train import TrainConfig, is_minimised
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError
from mnist_flow.jobs.composition import Composer, list_replicates
from mnist_flow.jobs.grids import list_grids
from mnist_flow.jobs.identity import compute_fingerprint
from mnist_flow.runtime.terminal import print_line
from mnist_flow.sweeps.opening import carry_variables, list_carried, open_parent, prepare_experiment
from mnist_flow.sweeps.search.adoption import find_finished
from mnist_flow.sweeps.search.confirmation import Confirmation
from mnist_flow.sweeps.search.coordinator import Coordinator
from mnist_flow.sweeps.search.memory import TERMS_PATH, Terms, fetch_trials, recall_trials, write_terms
from mnist_flow.sweeps.search.messages import Assignment, TrialServer
from mnist_flow.sweeps.search.outcome import build_space_table, choose_best
from mnist_flow.sweeps.search.search import Search
from mnist_flow.sweeps.search.settings import check_objective, read_settings
from mnist_flow.sweeps.search.space import Space, read_space
from mnist_flow.sweeps.search.study import Direction, TrialRecord, build_study
from mnist_flow.tracking import TrackedRun

_LOCAL_LAUNCHERS = ("BasicLauncher", "JoblibLauncher")


def open_search(config: DictConfig) -> Search:
    """Open a search, whose config gets what its jobs are told.

    Raises:
        ConfigError: the space, the settings or the config of the trials are wrong.
        DataError: the data can't be had.
        TrackingError: the tracking server does not answer.
        UserError: another process runs the same search.
    """
    settings = read_settings(config.hydra.sweeper)
    space, composer = _read_space(config)
    base, fingerprint = _read_base(space, composer)
    check_objective(settings, base)
    if base.plan:
        raise ConfigError("plan=true: a search chooses its trials as it goes; leave it out")
    direction: Direction = "minimize" if is_minimised(base.objective) else "maximize"
    build_study(settings, space, direction, n_known=0)  # What it refuses is told before a run is open.
    experiment_id = prepare_experiment(base)
    parent = open_parent(config, base, experiment_id, fingerprint, {"space": build_space_table(space)})
    terms = Terms(space.dimensions, (base.objective,), base.replicates)
    parent.log_artifacts(texts={TERMS_PATH: write_terms(terms)})
    judges_epochs = settings.pruner in ("median", "hyperband")
    records = (
        fetch_trials(
            parent.experiment_id,
            parent.run_id,
            terms,
            with_curves=judges_epochs,
            stale_after=base.tracking.stale_after,
        )
        if base.resume
        else []
    )
    if settings.include_finished:
        records += _include_finished(space, composer, base, terms, records, parent, with_curves=judges_epochs)
    n_trials = settings.n_trials + sum(record.included for record in records)
    _print_counts(records, n_trials)

    def assign(record: TrialRecord) -> Assignment:
        return _assign(space, composer, record, base.objective if judges_epochs else None)

    def assign_confirmation(record: TrialRecord) -> Assignment:
        return _assign_confirmation(space, composer, record, settings.confirm_seeds)

    search = Search(
        base,
        settings,
        parent,
        Coordinator(
            build_study(settings, space, direction, n_known=len(records)),
            space,
            composer.compose,
            assign,
            lambda record, kept: search.hear_end(record, kept),
            records,
            n_trials,
            judges_epochs,
            judges_seeds=settings.pruner == "wilcoxon",
        ),
        Confirmation(assign_confirmation, base.objective),
        direction=direction,
        best=next(iter(choose_best(records, direction)), None),
    )
    is_local = config.hydra.launcher._target_.endswith(_LOCAL_LAUNCHERS)
    search.server = TrialServer(search.connect, everywhere=not is_local)
    _hand_over(config, space, parent, search.server)
    return search


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


def _read_base(space: Space, composer: Composer) -> tuple[TrainConfig, str]:
    """The config of a first trial, for the keys that all trials share, and the search's fingerprint."""
    from optuna.trial import FixedTrial

    first = {key: _get_first(distribution) for key, distribution in space.dimensions.items()}
    choices = space.suggest(FixedTrial(first), composer.compose)
    overrides = space.list_overrides(choices)
    base = validate_config(composer.compose(overrides), TrainConfig)
    jobs = list_replicates(overrides, base)
    described = {
        "space": space.describe(),
        "jobs": [job.identity.fingerprint for job in jobs],
        "objective": base.objective,
    }
    return base, compute_fingerprint(described)


def _get_first(distribution: Any) -> Any:
    return distribution.choices[0] if hasattr(distribution, "choices") else distribution.low


def _include_finished(
    space: Space,
    composer: Composer,
    base: TrainConfig,
    terms: Terms,
    known: list[TrialRecord],
    parent: TrackedRun,
    *,
    with_curves: bool,
) -> list[TrialRecord]:
    """Make trials of the finished runs of other sweeps; the parent run remembers them."""
    found = find_finished(parent.experiment_id, base, space, composer, terms, known)
    parent.set_tags({f"{tracking.TRIAL_TAG}.{number}": json.dumps(kept) for number, kept in found.items()})
    n_before = sum(record.included for record in known)
    print_line(f"finished configs of this space included: {n_before + len(found)} ({len(found)} new)")
    return recall_trials(found, terms, with_curves=with_curves)


def _print_counts(records: list[TrialRecord], n_trials: int) -> None:
    counts = Counter(record.state for record in records)
    new = max(0, n_trials - len(records))
    resumed = f"{counts['running']} resumed"
    known = ", ".join(f"{counts[state]} {state}" for state in ("complete", "pruned", "failed"))
    print_line(f"{max(n_trials, len(records))} trials: {known}, {resumed}, {new} new")


def _assign(space: Space, composer: Composer, record: TrialRecord, epoch_metric: str | None) -> Assignment:
    overrides = space.list_overrides(record.choices)
    cfg = composer.compose(overrides)
    list_replicates(overrides, validate_config(cfg, TrainConfig))  # What is wrong with it is told by its trial.
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    tags = {tracking.TRIAL_TAG: str(record.number), tracking.CHOICES_TAG: json.dumps(dict(record.choices))}
    return Assignment(record.number, tuple(overrides), plain, tags, epoch_metric)


def _assign_confirmation(space: Space, composer: Composer, record: TrialRecord, n_seeds: int) -> Assignment:
    assignment = _assign(space, composer, record, None)
    config = dict(assignment.config)
    # After those that the search has used.
    config |= {"seed": config["seed"] + config["replicates"], "replicates": n_seeds}
    return Assignment(
        record.number, assignment.overrides, config, {**assignment.tags, tracking.CONFIRMS_TAG: "true"}, None
    )


def _hand_over(config: DictConfig, space: Space, parent: TrackedRun, server: TrialServer) -> None:
    """Tell the jobs, under any launcher, their experiment, their parent run, what varies, and where to ask."""
    varying = [f"{key.lstrip('+')}.name" if key in space.groups else key.lstrip("+") for key in space.dimensions]
    config.hydra.overrides.hydra += [
        f"+hydra.job.env_set.{tracking.EXPERIMENT_ID_VARIABLE}='{parent.experiment_id}'",
        f"+hydra.job.env_set.{tracking.PARENT_RUN_ID_VARIABLE}='{parent.run_id}'",
        f"+hydra.job.env_set.{tracking.VARYING_VARIABLE}='{','.join([*varying, 'seed'])}'",
    ]
    config.hydra.overrides.hydra += carry_variables({**list_carried(config), **server.list_variables()})
