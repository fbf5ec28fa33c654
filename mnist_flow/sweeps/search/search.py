"""A search that is open: it launches jobs that ask for trials, and ends its parent run truthfully."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from hydra.core.utils import JobReturn

from mnist_flow import tracking
from mnist_flow.config.overrides import type_override
from mnist_flow.config.train import TrainConfig, is_minimised
from mnist_flow.errors import RunError, TrackingError
from mnist_flow.jobs.tables import select_epoch
from mnist_flow.runtime.terminal import count, print_line, print_table
from mnist_flow.sweeps.models import choose_best_run, settle_models
from mnist_flow.sweeps.outcomes import name_tables
from mnist_flow.sweeps.pool import stop_workers
from mnist_flow.sweeps.search.confirmation import Confirmation
from mnist_flow.sweeps.search.coordinator import MAX_FAILURES, Coordinator, TrialConnection, TrialQueue
from mnist_flow.sweeps.search.importances import build_importances
from mnist_flow.sweeps.search.memory import write_kept
from mnist_flow.sweeps.search.messages import TrialServer
from mnist_flow.sweeps.search.outcome import build_space_table, build_trials, choose_best, write_preset
from mnist_flow.sweeps.search.settings import SearchSettings
from mnist_flow.sweeps.search.study import TrialRecord
from mnist_flow.sweeps.sweep import Launch
from mnist_flow.tracking import PastRun, TrackedRun

log = logging.getLogger(__name__)

# Seconds between two writings of the table of trials while the search goes on.
_TABLE_SECONDS = 10.0
# Trials whose process was lost may still be about to say so when the launcher has returned, in seconds.
_SETTLING = 1.0
# Rows of a printed table.
_MAX_PRINTED = 20
# Launches one after the other in which no trial was begun, after which a search gives up.
_MAX_IDLE = 3


@dataclass
class Search:
    """A search that is open."""

    base: TrainConfig
    settings: SearchSettings
    parent: TrackedRun
    # As it was typed.
    command: str
    coordinator: Coordinator
    confirmation: Confirmation
    server: TrialServer | None = None
    # The best trial, or with several objectives those of the Pareto front.
    best: list[TrialRecord] = field(default_factory=list)
    _tables_at: float = field(default_factory=time.monotonic)

    @property
    def is_multiple(self) -> bool:
        """Whether there are several objectives."""
        return len(self.base.objectives) > 1

    def run(self, launch: Launch) -> list[JobReturn]:
        """Launch jobs until no trial is left; then train the best again with fresh seeds, where that is asked for.

        Raises:
            RunError: the launcher broke down, too many trials failed one after the other, or none was completed.
        """
        coordinator = self.coordinator
        if coordinator.deadline == float("inf") and self.settings.timeout is not None:
            coordinator.deadline = time.monotonic() + self.settings.timeout
        returns: list[JobReturn] = []
        self._launch_while(launch, coordinator, returns)
        if coordinator.has_given_up:
            last = [record for record in coordinator.records if record.state == "failed"][-1]
            raise RunError(
                f"{MAX_FAILURES} trials failed one after the other, the last: {last.reason}; the others are kept, and "
                "the same command goes on with further trials"
            )
        self.best = self._choose_best()
        if not self.best:
            raise RunError(
                f"none of {len(coordinator.records)} trials was completed; see sweep/trials of the parent run"
            )
        if self.settings.confirm:
            chosen = self.confirmation.prepare(self._choose_best(self.settings.confirm))
            self._launch_while(launch, chosen, returns)
            if (confirmed := self.confirmation.choose()) is not None:
                self.best = [confirmed]
        return returns

    def connect(self) -> TrialConnection:
        """Make the answerer of a new connection: for a trial, or for the confirmation of one."""
        return TrialConnection(self.confirmation if self.confirmation.is_open else self.coordinator)

    def hear_end(self, record: TrialRecord) -> None:
        """Log and print that a trial has ended."""
        n_ended = sum(one.state != "running" for one in self.coordinator.records)
        if record.kept:
            self.parent.set_tags(write_kept([record]))
        best = self._choose_best()
        if best:
            # One point a trial, so that its curve in MLflow shows the search.
            is_new, self.best = best != self.best, best
            self.parent.log_metrics(self._list_best_values(), step=n_ended)
            if is_new and not self.is_multiple:
                self.parent.log_artifacts(texts=self._write_presets())
        told = " ".join(f"{key}={_shorten(value)}" for key, value in record.choices.items())
        outcome = " ".join(filter(None, (record.state, self._tell_values(record))))
        reason = f"  ({record.reason})" if record.reason else ""
        print_line(f"trial {record.number}: {told}  {outcome}{reason}  [{n_ended}/{self.coordinator.n_trials}]")
        if time.monotonic() - self._tables_at > _TABLE_SECONDS:
            self._tables_at = time.monotonic()
            self.parent.log_artifacts(tables=name_tables(trials=self._build_trials(self.coordinator.records)))

    def end(self, status: str) -> None:
        """Log the tables and end the parent run: FINISHED, FAILED or KILLED.

        Raises:
            UndeliveredError: the tracking server does not answer; the message says where the record is kept.
            RunError: the best model can't be registered, or those that are not kept can't be deleted.
        """
        if self.server is not None:
            self.server.close()
        if status == "KILLED":
            stop_workers()
        patience = self.base.tracking.patience if status == "FINISHED" else 0
        try:
            closed, _ = tracking.close_abandoned_children(self.parent, patience, self.base.tracking.stale_after)
            if closed:
                log.warning("runs of the search that were cut off and are marked KILLED: %d", closed)
        except TrackingError as error:
            log.warning("runs that were cut off may still be RUNNING: %s", error)
        with self.coordinator.lock:
            trouble = self._log_outcome(print_it=status == "FINISHED")
        self.parent.end(status, patience)
        if trouble:
            raise RunError(trouble)

    def _launch_while(self, launch: Launch, queue: TrialQueue, returns: list[JobReturn]) -> None:
        """Launch as many jobs as there are trials left, until none is left; each job asks for one."""
        idle = 0
        while before := queue.count_left():
            n_lost, trouble = len(queue.lost), "the jobs ended without asking for a trial"
            try:
                returns += launch([[] for _ in range(before)], len(returns))
            except Exception as error:
                trouble = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                log.warning("the launcher broke down (%s), and is started again", type(error).__name__)
            if not queue.count_left():
                return
            # A process that is gone may have been one of those that ask.
            time.sleep(_SETTLING)
            idle = idle + 1 if (queue.count_left(), len(queue.lost)) == (before, n_lost) else 0
            if idle == _MAX_IDLE:
                raise RunError(f"the launcher broke down {idle} times ({trouble}); the same command goes on")
            queue.forgive_bystanders()

    def _build_trials(self, records: Sequence[TrialRecord]) -> pd.DataFrame:
        return build_trials(records, self.coordinator.space.dimensions, self.base.objectives)

    def _choose_best(self, n: int = 1) -> list[TrialRecord]:
        return choose_best(self.coordinator.records, self.base.objectives, n)

    def _list_best_values(self) -> dict[str, float]:
        """The best value of each objective, among the best trials."""
        values = zip(*(record.objectives or () for record in self.best), strict=True)
        return {
            f"best_{objective}": min(found) if is_minimised(objective) else max(found)
            for objective, found in zip(self.base.objectives, values, strict=True)
        }

    def _write_presets(self) -> dict[str, str]:
        """Write the best trials as presets, by artifact path."""
        presets = {}
        for record in self.best:
            comment = f"Trial {record.number} of run {self.parent.run_id}: {self._tell_values(record)}."
            path = "sweep/best.yaml" if not self.is_multiple else f"sweep/pareto/trial_{record.number}.yaml"
            presets[path] = write_preset(self.coordinator.space, record.choices, comment)
        return presets

    def _tell_values(self, record: TrialRecord) -> str:
        told = zip(self.base.objectives, record.objectives or (), strict=False)
        return ", ".join(f"{objective} {value:.6g}" for objective, value in told)

    def _log_outcome(self, print_it: bool) -> str:
        """Log the tables; with `print_it` print the best and settle the models, and return what can't be done."""
        coordinator, objectives = self.coordinator, self.base.objectives
        states = [record.state for record in coordinator.records]
        metrics: dict[str, float] = {"trials": len(states)}
        metrics |= {f"trials_{state}": states.count(state) for state in ("complete", "pruned", "failed")}
        tables = {
            "trials": self._build_trials(coordinator.records),
            "space": build_space_table(coordinator.space),
            "importances": build_importances(coordinator.study.trials, objectives),
            "confirmation": self.confirmation.build_table(),
        }
        if self.is_multiple:
            tables["pareto"] = self._build_trials(self.best)
            metrics["trials_pareto"] = len(self.best)
        self.parent.log_artifacts(tables=name_tables(**{name: table for name, table in tables.items() if len(table)}))
        trouble = ""
        try:
            chosen = self._fetch_chosen_runs()
        except TrackingError as error:
            chosen, trouble = [], f"the chosen trial has no results, and is not registered: {error}"
        if self.best:
            self.parent.log_artifacts(texts=self._write_presets())
            metrics |= {f"chosen_{name}": value for name, value in self._compute_means(chosen).items()}
        # A search that is resumed adds its numbers to those of the first time.
        self.parent.log_metrics(metrics, step=self.parent.count_logged("trials"))
        self.parent.set_tags({tracking.NOTE_TAG: self._describe(metrics, tables["confirmation"])})
        if print_it and self.best:
            self._print_best(tables["confirmation"])
            if trouble:
                return f"{trouble} (the search is finished, and its trials are kept; the same command settles it)"
            best = choose_best_run(chosen, objectives[0])
            return settle_models(self.base.tracking, self.parent.experiment_id, self.parent.run_id, best)
        return ""

    def _list_best(self, confirmed: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """The tables that a person reads, by their titles: the best trials, and those that were confirmed."""
        objectives = self.base.objectives
        best = self._choose_best(_MAX_PRINTED)[:_MAX_PRINTED]
        columns = ["trial", *self.coordinator.space.dimensions, *objectives]
        title = f"best {objectives[0]} first"
        if self.is_multiple:
            aims = ", ".join(f"{one} {'minimised' if is_minimised(one) else 'maximised'}" for one in objectives)
            of_all = f"the first {len(best)} of " if len(self.best) > len(best) else ""
            title = f"Pareto front, {aims}: {of_all}{count(len(self.best), 'trial')}"
        shown = {title: self._build_trials(best)[columns].map(_shorten)}
        if len(confirmed):
            shown["the best again, with fresh seeds"] = confirmed.drop(columns="run_ids").map(_shorten)
        return shown

    def _describe(self, metrics: Mapping[str, float], confirmed: pd.DataFrame) -> str:
        """Describe the search in Markdown: what was chosen, how it does, the best trials, and how to draw them."""
        states = ", ".join(f"{metrics[f'trials_{state}']:.0f} {state}" for state in ("complete", "pruned", "failed"))
        parts = []
        if self.best and not self.is_multiple:
            chosen = " ".join(f"{key}={_shorten(value)}" for key, value in self.best[0].choices.items())
            means = {name.removeprefix("chosen_"): value for name, value in metrics.items() if "chosen_" in name}
            told = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
            preset = "its preset is `sweep/best.yaml` of the artifacts"
            parts.append(f"**{chosen}** (trial {self.best[0].number}; {preset}): {told}")
        parts.append(f"{count(int(metrics['trials']), 'trial')}: {states}.")
        tables = self._list_best(confirmed) if self.best else {}
        parts += [f"{title}:\n\n{tracking.format_table(table)}" for title, table in tables.items()]
        name = type_override("tracking.experiment_name", self.base.tracking.experiment_name)
        draw = f"python -m mnist_flow.analyze study=search study.run_id={self.parent.run_id} {name}"
        return tracking.join_parts(*parts, f"Draw it: `{draw}`", f"Made by: `{self.command}`")

    def _print_best(self, confirmed: pd.DataFrame) -> None:
        for title, table in self._list_best(confirmed).items():
            print_table(table, title)
        where = f"run {self.parent.run_id} at {tracking.get_uri()}"
        if self.is_multiple:
            print_line(f"sweep/pareto/ of the parent, {where}, has the preset of each")
        else:
            print_line(f"chosen: trial {self.best[0].number}; sweep/best.yaml of the parent, {where}, is its preset")
        print_line(f"look: {tracking.describe_look(self.parent.experiment_id, self.parent.run_id)}")

    def _fetch_chosen_runs(self) -> list[PastRun]:
        """The finished runs of the chosen trial. Of several objectives none is chosen.

        Raises:
            TrackingError: the tracking server does not have them.
        """
        if self.is_multiple or not self.best:
            return []
        (best,) = self.best
        run_ids: Sequence[str] = self.confirmation.list_run_ids(best) or best.run_ids
        runs = [tracking.fetch_run(run_id) for run_id in run_ids]
        return [run for run in runs if run.state == "finished"]

    def _compute_means(self, runs: Sequence[PastRun]) -> Mapping[str, float]:
        """Means of the chosen trial's results, the test set's among them, which nobody has looked at before."""
        results = [select_epoch(run.metrics) for run in runs]
        names = ("test_accuracy", "test_loss", self.base.objective)
        return {
            name: float(np.mean([one[name] for one in results]))
            for name in names
            if all(name in one for one in results) and results
        }


def _shorten(value: Any) -> Any:
    if value is None or value != value:
        return ""  # A trial does not have this key.
    if not isinstance(value, float):
        return value
    return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
