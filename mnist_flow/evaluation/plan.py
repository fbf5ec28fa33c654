"""Plans which evaluations of the chosen runs there are to be, and finds those that are done already."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import OmegaConf

from mnist_flow.config.evaluate import EvaluateConfig, MeasuredDataConfig
from mnist_flow.config.options import find_module, find_option
from mnist_flow.config.section import OptionSection
from mnist_flow.config.train import DataSection
from mnist_flow.config.validation import validate_config
from mnist_flow.data.dataset import DataSet
from mnist_flow.data.loading import load_data_set
from mnist_flow.errors import RunError, UserError
from mnist_flow.evaluation.selection import find_partners
from mnist_flow.jobs.identity import compute_fingerprint
from mnist_flow.runtime.environment import digest_code
from mnist_flow.runtime.own_code import digest_own_code
from mnist_flow.runtime.processes import name_process

if TYPE_CHECKING:
    from mnist_flow.tracking import LoggedRun, PastRun

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """One measure of one run: to be done, or done already."""

    run: LoggedRun
    data_set: DataSet
    measure: str  # its name
    config: OptionSection  # of the measure
    # Runs whose models take part, by the key of the measure's config that chose them.
    partners: Mapping[str, LoggedRun]
    # The newest finished evaluation with the same fingerprint.
    earlier: PastRun | None = None

    @property
    def read(self) -> Mapping[str, Any]:
        """What stands for the config in the fingerprint of a measure that reads files; empty: the config itself."""
        describe_read = getattr(find_module(self.config), "describe_read", None)
        return {} if describe_read is None else describe_read(self.config)

    @property
    def fingerprint(self) -> str:
        """What makes two evaluations the same: runs, measure and data, but neither the batch size nor threads."""
        code = digest_own_code(self.config.module)
        return compute_fingerprint(
            {
                "run_id": self.run.run_id,
                "measure": self.measure,
                **(self.read or self.config.model_dump(exclude=set(self.partners))),
                **{key: partner.run_id for key, partner in self.partners.items()},
                "data.digest": self.data_set.digest,
                **({} if code is None else {"code": code}),
            }
        )

    def describe(self, evaluation_id: str, metrics: Mapping[str, float], state: str) -> dict[str, Any]:
        """Describe the evaluation, by the id of its run in MLflow, as a row of the command's table."""
        summarise = getattr(find_module(self.config), "summarise", None)
        return {
            "run": self.run.name,
            "run_id": self.run.run_id,
            "seed": int(self.run.params["seed"]),
            "measure": self.measure,
            **(metrics if summarise is None else summarise(self.measure, metrics)),
            "evaluation": evaluation_id,
            "state": state,
        }


def plan_evaluations(config: EvaluateConfig, runs: Sequence[LoggedRun]) -> tuple[list[Evaluation], list[str]]:
    """Plan every chosen measure of every run.

    Returns:
        The evaluations, those of a run one after another, and a line for each run or measure of it that can't be done.

    Raises:
        ConfigError: a measure asks for what the images don't have.
        TrackingError: the server does not answer, or a measure's partner is not there.
    """
    measures = dict(config.measure)
    sources = {run.run_id: _find_source(run, config.data) for run in runs}
    runs_of = {source: run_id for run_id, source in sources.items()}
    data_sets = {source: _load_data(source, run_id) for source, run_id in runs_of.items()}
    _check_measures(measures, data_sets.values())
    past = _fetch_past(config, {run.experiment_id for run in runs}) if config.resume else {}
    partners = {name: find_partners(name, measure) for name, measure in measures.items()}
    evaluations: list[Evaluation] = []
    troubles: list[str] = []
    for run in runs:
        try:
            data_set = _check_data(run, data_sets[sources[run.run_id]])
        except (UserError, RunError) as error:
            troubles.append(name_run(run.run_id, error))
            continue
        for name, measure in measures.items():
            try:
                chosen = {key: choose(run) for key, choose in partners[name].items()}
                evaluations.append(_look_up(Evaluation(run, data_set, name, measure, chosen), past))
            except RunError as error:
                troubles.append(name_run(run.run_id, error))
    return _choose_by_code(evaluations, config.tracking.changed_code), troubles


def load_run_data(run: LoggedRun, mnist_npz: str | None = None) -> DataSet:
    """Load the data set that a run was trained on; its arrays are read-only.

    Args:
        run: the run.
        mnist_npz: where MNIST lies here.

    Raises:
        DataError: it can't be had.
        RunError: it is another one than that of the run.
    """
    source = _find_source(run, MeasuredDataConfig(path=None, mnist_npz=mnist_npz))
    return _check_data(run, _load_data(source, run.run_id))


def name_run(run_id: str, error: Exception) -> str:
    """Say which run an error is about, unless it says so itself."""
    text = str(error)
    return text if text.startswith(f"run {run_id}") else f"run {run_id}: {text}"


class _Source(NamedTuple):
    """Where the images of a run come from: what `load_data_set` takes."""

    name: str
    path: str | None
    module: str | None
    # What the data set's own `load` takes, as texts: the run's params tell sources apart, but have lost their types.
    options: tuple[tuple[str, str], ...]


def _find_source(run: LoggedRun, data: MeasuredDataConfig) -> _Source:
    """The source that the command names, or the run's own; MNIST is the same wherever it lies."""
    own = {key.removeprefix("data."): text for key, text in run.params.items() if key.startswith("data.")}
    logged = None if own.get("path", "None") == "None" else own["path"]
    path = data.path or (data.mnist_npz if own["name"] == "mnist" else logged)
    options = tuple(sorted((key, text) for key, text in own.items() if key not in DataSection.model_fields))
    return _Source(own["name"], path, own.get("module"), options)


def _load_data(source: _Source, run_id: str) -> DataSet | UserError:
    """Load a data set, or say why it can't be had: one attempt for all its runs, of which `run_id` is any."""
    try:
        options = _fetch_options(source, run_id) if source.options else {}
        return load_data_set(source.name, source.path, source.module, options)
    except UserError as error:
        return error


def _fetch_options(source: _Source, run_id: str) -> dict[str, Any]:
    """Fetch what the data set's own `load` takes, with its types; keys that the data set has no more are left out."""
    from mnist_flow import tracking

    schema: type[DataSection] = find_option("mnist_flow.data.sets", source.name, source.module).Config
    logged = tracking.fetch_config(run_id).get("data", {})
    known = {key: value for key, value in logged.items() if key in schema.model_fields}
    return validate_config(OmegaConf.create(known), schema).list_options()


def _check_measures(measures: Mapping[str, OptionSection], data_sets: Iterable[DataSet | UserError]) -> None:
    for name, measure in measures.items():
        check = getattr(find_module(measure), "check", None)
        for data_set in data_sets:
            if check is not None and isinstance(data_set, DataSet):
                check(name, measure, data_set)


def _fetch_past(config: EvaluateConfig, experiment_ids: set[str]) -> dict[str, PastRun]:
    """Fetch the evaluations that are finished or alive, by fingerprint, the newest of each."""
    from mnist_flow import tracking

    return {
        run.fingerprint: run
        for experiment_id in experiment_ids
        for run in tracking.fetch_past_runs(experiment_id, stale_after=config.tracking.stale_after, kind="evaluation")
        if run.state != "interrupted"
    }


def _check_data(run: LoggedRun, data_set: DataSet | UserError) -> DataSet:
    """Refuse a run whose data can't be had, or are not those that it was trained on."""
    if isinstance(data_set, UserError):
        raise data_set
    # Runs older than the tag have no digest.
    if run.data_digest not in ("", data_set.digest):
        raise RunError(
            f"was trained on other data (digest {run.data_digest}) than {data_set.source} "
            f"(digest {data_set.digest}); name its file or folder: data.path=X"
        )
    return data_set


def _look_up(evaluation: Evaluation, past: Mapping[str, PastRun]) -> Evaluation:
    """Add the earlier evaluation, if there is one; refuse what another process is doing."""
    earlier = past.get(evaluation.fingerprint)
    if earlier is not None and earlier.state == "alive":
        raise RunError(f"{name_process(earlier.process)} measures its {evaluation.measure}; wait for it")
    return replace(evaluation, earlier=earlier)


def _choose_by_code(evaluations: list[Evaluation], changed_code: str) -> list[Evaluation]:
    """Count what another version of the code measured as done, and say so, or forget it."""
    code = digest_code("evaluation")
    outdated = [one.earlier is not None and one.earlier.code != code for one in evaluations]
    if changed_code == "retrain":
        return [replace(one, earlier=None) if old else one for one, old in zip(evaluations, outdated, strict=True)]
    if any(outdated):
        log.warning(
            "evaluations by another version of the code: %d; tracking.changed_code=retrain measures anew", sum(outdated)
        )
    return evaluations
