"""What became of the jobs of a sweep."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
from hydra.core.utils import JobReturn, JobStatus

from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.sweeps.outcomes import describe_outcome, describe_sweep, name_tables
from mnist_flow.sweeps.sweep import get_error


def planned(state):
    return PlannedJob(SimpleNamespace(identity=SimpleNamespace(fingerprint="F")), state, None)


@pytest.mark.parametrize(
    ("before", "now", "failed", "outcome"),
    [
        ("new", "finished", [], "new"),
        ("interrupted", "finished", [], "resumed"),
        ("alive", "finished", [], "elsewhere"),
        ("finished", "finished", [], "skipped"),
        ("new", "new", ["F"], "failed"),
        ("new", "interrupted", ["F", "another"], "failed"),
        ("new", "new", ["another"], "missing"),
        ("alive", "alive", [], "missing"),
        # It failed at first, and another process finished it.
        ("new", "finished", ["F"], "new"),
    ],
)
def test_the_outcome_of_a_job(before, now, failed, outcome):
    assert describe_outcome(planned(before), planned(now), failed) == outcome


def test_tables_are_there_for_spreadsheets_and_for_mlflow():
    table = pd.DataFrame({"reg": [0.0]})
    assert name_tables(grid=table) == {"sweep/grid.csv": table, "sweep/grid.json": table}


def test_the_description_of_a_sweep_has_the_best_setting_a_table_and_the_next_command():
    jobs = [SimpleNamespace(params={"reg": reg, "seed": seed}, overrides=()) for reg in (0.0, 0.1) for seed in (0, 1)]
    of_test = {"test_accuracy_mean": [0.94, 0.93], "test_accuracy_std": [0.02, 0.03]}
    measured = {"val_accuracy_mean": [0.95, 0.96], "val_accuracy_std": [0.01, 0.02], **of_test}
    replicates = pd.DataFrame({"reg": [0.0, 0.1], "n": 2, **measured})
    best, table, title, draw = describe_sweep(jobs, replicates, "val_accuracy", "2024").split("\n\n")
    assert best == "**reg=0.1**: val_accuracy 0.9600 ± 0.0200, test_accuracy 0.9300 ± 0.0300 (n = 2)"
    assert title == "Best val_accuracy first: mean ± sample standard deviation over n seeds."
    assert table.splitlines()[::2] == [
        "| reg&emsp;| n&emsp;| val_accuracy&emsp;| test_accuracy&emsp;|",
        "| 0.1&emsp;| 2&emsp;| 0.9600 ± 0.0200&emsp;| 0.9300 ± 0.0300&emsp;|",
    ]
    command = "python -m mnist_flow.analyze study=compare study.x=reg \"tracking.experiment_name='2024'\""
    assert draw == f"Draw it: `{command}`"
    assert describe_sweep(jobs, pd.DataFrame(), "val_accuracy", "2024") == ""


def end_job(status, value):
    result = JobReturn(overrides=["reg=0"], status=status)
    result.return_value = value
    return result


def test_the_error_of_a_failed_job_is_found_and_hydra_prints_nothing(capsys):
    error = ValueError("a mistake")
    assert get_error(end_job(JobStatus.FAILED, error)) is error
    assert capsys.readouterr() == ("", "")


def test_a_job_that_completed_has_no_error():
    assert get_error(end_job(JobStatus.COMPLETED, 0.5)) is None
