"""What became of the jobs of a sweep: the tables and metrics of its parent run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import pandas as pd

from mnist_flow.config.overrides import type_override
from mnist_flow.config.train import REPLICATED, is_minimised
from mnist_flow.jobs.composition import Job
from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.jobs.tables import build_replicates, build_summary, find_telling
from mnist_flow.runtime.terminal import format_replicates, print_replicates
from mnist_flow.tracking import TrackedRun, format_table, join_parts

# new, resumed: trained by this sweep; skipped: done before; elsewhere: trained by another process meanwhile;
# missing: the sweep ended before the job was done.
_OUTCOMES = ("new", "resumed", "skipped", "elsewhere", "failed", "missing")


def describe_outcome(before: PlannedJob, now: PlannedJob, failed: Collection[str]) -> str:
    """Name what became of a job between a sweep's start and now, as `_OUTCOMES` has it, given what failed in it."""
    if now.state != "finished":
        return "failed" if now.job.identity.fingerprint in failed else "missing"
    if before.state == "finished":
        return "skipped"
    return {"interrupted": "resumed", "alive": "elsewhere"}.get(before.state, "new")


def log_outcomes(
    parent: TrackedRun, planned: Sequence[PlannedJob], outcomes: Sequence[str], objective: str, n_workers: int | None
) -> pd.DataFrame:
    """Log a sweep's counts, summary, replicates and the best mean of its objective; return the table of replicates.

    `n_workers` jobs shared the cores of this machine; None: a cluster decided.
    """
    summary = build_summary(planned, outcomes)
    replicates = build_replicates(summary)
    counts = Counter(outcomes)
    metrics = {
        "jobs": len(planned),
        "jobs_finished": sum(one.state == "finished" for one in planned),
        **{f"jobs_{outcome}": counts[outcome] for outcome in _OUTCOMES},
        **({} if n_workers is None else {"workers": n_workers}),
    }
    if f"{objective}_mean" in replicates:
        means = replicates[f"{objective}_mean"]
        metrics[f"best_{objective}_mean"] = means.min() if is_minimised(objective) else means.max()
    # A sweep that is resumed adds its numbers to those of the first time.
    parent.log_metrics(metrics, step=parent.count_logged("jobs"))
    parent.log_artifacts(tables=name_tables(summary=summary, replicates=replicates))
    return replicates


def name_tables(**tables: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Give each table its artifact paths: CSV for spreadsheets, JSON for `mlflow.load_table`."""
    return {f"sweep/{name}.{ending}": table for name, table in tables.items() for ending in ("csv", "json")}


def print_best(jobs: Sequence[Job], replicates: pd.DataFrame, objective: str) -> None:
    """Print the best groups of replicates by the objective, told apart by the params that vary."""
    print_replicates(replicates, _find_settings(jobs), objective, is_minimised(objective))


def describe_sweep(jobs: Sequence[Job], replicates: pd.DataFrame, objective: str, experiment_name: str) -> str:
    """Describe the result of a sweep in Markdown: the best setting, a table of the best, and how to draw them."""
    settings = _find_settings(jobs)
    shown, title = format_replicates(replicates, settings, objective, is_minimised(objective))
    if shown.empty:
        return ""
    best = {str(name): str(cell) for name, cell in shown.iloc[0].items()}
    told = " ".join(f"{key}={best[key]}" for key in settings) or jobs[0].config.model.name
    measured = ", ".join(f"{name} {best[name]}" for name in best if "±" in best[name] or name == objective)
    numbers = [key for key in settings if pd.api.types.is_numeric_dtype(shown[key])]
    study = f"study=compare study.x={numbers[0]}" if numbers else "study=curves"
    draw = f"python -m mnist_flow.analyze {study} {type_override('tracking.experiment_name', experiment_name)}"
    return join_parts(
        f"**{told}**: {measured} (n = {best['n']})", format_table(shown), f"{title.capitalize()}.", f"Draw it: `{draw}`"
    )


def _find_settings(jobs: Sequence[Job]) -> list[str]:
    """The params that tell settings apart: no seeds or folds."""
    return [key for key in find_telling(jobs) if key not in REPLICATED]
