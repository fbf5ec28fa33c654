"""What became of the jobs of a sweep."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
from hydra.core.utils import JobReturn, JobStatus

from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.sweeps.outcomes import describe_outcome, name_tables
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
