import math
import re

import pandas as pd
import pytest
from mlflow.entities import Metric, Run, RunData, RunInfo, RunTag

from mnist_flow.runtime import terminal as console
from mnist_flow.runtime.terminal import (
    SweepProgress,
    TrainingProgress,
    print_plan,
    print_replicates,
    print_summary,
    print_table,
)
from support import wait_until

FIRST = {"loss": 0.51234, "accuracy": 0.8125, "val_loss": 0.4, "val_accuracy": 0.87654, "learning_rate": 0.1}
SECOND = {"loss": 0.25, "accuracy": 0.9, "val_loss": 0.3, "val_accuracy": 0.91, "learning_rate": 0.1}


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    """No variable of the shell that runs the tests decides what rich takes for a terminal."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "JUPYTER_COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def terminal(monkeypatch):
    """Rich takes the captured output for a terminal of 160 columns."""
    for name, value in {"TTY_COMPATIBLE": "1", "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "160"}.items():
        monkeypatch.setenv(name, value)


def read_lines(capsys):
    """What was printed, without escape sequences; a bar that is drawn again begins a new line."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def test_without_a_terminal_there_is_one_line_an_epoch(capsys):
    with TrainingProgress(epochs=2, n_images=100) as progress:
        progress.on_steps(1, 50, FIRST)
        progress.on_epoch(1, FIRST)
        progress.on_steps(2, 50, SECOND)
        progress.on_epoch(2, SECOND)
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"epoch 1/2  loss 0\.5123  accuracy 0\.8125  val_accuracy 0\.8765  [\d,]+ images/s  0:00:00 left", first
    )
    assert re.fullmatch(
        r"epoch 2/2  loss 0\.2500  accuracy 0\.9000  val_accuracy 0\.9100  [\d,]+ images/s  0:00:00 left", second
    )


def test_the_time_left_counts_the_epochs_of_this_process_only(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 10.0])
    monkeypatch.setattr("mnist_flow.runtime.terminal.time.perf_counter", lambda: next(clock))
    with TrainingProgress(epochs=8, n_images=100, first_epoch=5) as progress:
        progress.on_epoch(6, FIRST)
    assert capsys.readouterr().out.endswith("0:00:20 left\n")


def test_the_bar_shows_epoch_and_metrics(capsys, terminal):
    with TrainingProgress(epochs=2, n_images=100) as progress:
        progress.on_steps(1, 100, FIRST)
        progress.on_epoch(1, FIRST)
        progress.on_steps(2, 100, SECOND)
    last = read_lines(capsys)[-1]
    assert re.match(r"epoch 2/2 ━{20} loss 0\.2500  accuracy 0\.9000  val_accuracy 0\.8765  [\d,]+ images/s", last)


def test_the_bar_is_half_full_after_half_of_the_images(capsys, terminal):
    with TrainingProgress(epochs=2, n_images=100) as progress:
        progress.on_steps(1, 100, FIRST)
    last = read_lines(capsys)[-1]
    assert last.startswith("epoch 1/2 ━━━━━━━━━━")
    assert "loss 0.5123  accuracy 0.8125" in last
    assert "100%" not in last
    # 10 of the 20 cells are full; without colour rich leaves the rest blank.
    assert last.count("━") == 10


def test_the_bar_ends_with_the_last_validation_accuracy(capsys, terminal):
    with TrainingProgress(epochs=1, n_images=100) as progress:
        progress.on_steps(1, 100, FIRST)
        progress.on_epoch(1, FIRST)
    assert "val_accuracy 0.8765" in read_lines(capsys)[-1]


def test_the_terminal_is_given_back_when_the_training_fails(capsys, terminal):
    with pytest.raises(ValueError, match="failed"), TrainingProgress(epochs=1, n_images=100):
        raise ValueError("failed")
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    out = capsys.readouterr().out
    assert out.rindex(shown) > out.rindex(hidden)


@pytest.mark.parametrize("where", ["log", "terminal"])
def test_the_summary_has_a_row_a_result(capsys, request, where):
    if where == "terminal":
        request.getfixturevalue("terminal")
    print_summary("mlp on digits", {"test accuracy": "97.50% ± 0.82%", "run id": "a1b2"})
    title, top, *rows, bottom = read_lines(capsys)
    assert title == "mlp on digits"
    assert [[cell.strip() for cell in row.strip("│").split("│")] for row in rows] == [
        ["test accuracy", "97.50% ± 0.82%"],
        ["run id", "a1b2"],
    ]
    assert (top[0], bottom[0]) == ("┌", "└")


def test_the_summary_keeps_a_long_value_in_one_line_of_a_log(capsys):
    uri = "sqlite:///" + "/folder" * 15 + "/mlflow.db"
    print_summary("mlp", {"tracked at": uri})
    assert any(uri in line for line in read_lines(capsys))


def test_the_summary_shows_brackets_as_they_are(capsys):
    print_summary("mlp [b]", {"tracked [i]at": "sqlite:////tmp/a[b]c/mlflow.db"})
    title, _, row, _ = read_lines(capsys)
    assert title == "mlp [b]"
    assert "tracked [i]at" in row
    assert "sqlite:////tmp/a[b]c/mlflow.db" in row


# A sweep


def make_ended(run_id, fingerprint, status="FINISHED", end_time=5000, **metrics):
    info = RunInfo(run_id, "1", "ada", status, 1000, end_time, "active")
    measured = [Metric(name, value, 0, 0) for name, value in metrics.items()]
    return Run(info, RunData(measured, [], [RunTag("mnist_flow.fingerprint", fingerprint)]))


@pytest.fixture
def news():
    """What the tracking server says: the runs that ended, and the number of those that are running."""
    return {"ended": [], "running": 0}


@pytest.fixture
def show_sweep(news):
    """Display a sweep of four jobs, of which one was done before."""

    def show():
        labels = {"F0": "reg=0", "F1": "reg=1e-05", "F2": "reg=[0.1]", "F3": "reg=1"}
        return SweepProgress(labels, 1, lambda since: (news["ended"], news["running"]))

    return show


def test_without_a_terminal_there_is_one_line_a_job_of_a_sweep(capsys, show_sweep, news, monkeypatch):
    monkeypatch.setattr(console, "_POLL_SECONDS", 0.01)
    with show_sweep():
        news["running"] = 2
        news["ended"] = [make_ended("a", "F1", val_accuracy=0.91, test_accuracy=0.87654, loss=0.1)]
        shown = wait_for_lines(capsys, 1)
        news["ended"] = [*news["ended"], make_ended("b", "F2", "FAILED", val_accuracy=0.5)]
        shown += wait_for_lines(capsys, 1)
        news["running"] = 0
        news["ended"] = [*news["ended"], make_ended("c", "F3")]
    assert shown + read_lines(capsys) == [
        "reg=1e-05  FINISHED  val_accuracy 0.9100  test_accuracy 0.8765  [2/4 done, 2 running, 0 failed, 0:00:00 left]",
        "reg=[0.1]  FAILED  [2/4 done, 2 running, 1 failed, 0:00:00 left]",
        "reg=1  FINISHED  [3/4 done, 0 running, 1 failed]",
    ]


def wait_for_lines(capsys, n):
    lines = []

    def are_there():
        lines.extend(read_lines(capsys))
        return len(lines) >= n

    wait_until(are_there, seconds=10)
    return lines


def test_runs_that_ended_before_the_sweep_or_belong_to_another_are_not_shown(capsys, show_sweep, news):
    news["ended"] = [make_ended("a", "F1"), make_ended("x", "another sweep's")]
    with show_sweep():
        pass
    assert capsys.readouterr().out == ""


def test_a_job_that_failed_and_then_finished_counts_as_done(capsys, show_sweep, news):
    news["ended"] = [make_ended("a", "F1", "FAILED", end_time=1)]
    with show_sweep():
        news["ended"] = [make_ended("a", "F1", "FINISHED", end_time=2)]
    assert read_lines(capsys) == ["reg=1e-05  FINISHED  [2/4 done, 0 running, 0 failed, 0:00:00 left]"]


def test_a_server_that_is_away_does_not_end_the_display(capsys, news):
    away = [True]

    def fetch(since):
        if away.pop() if away else False:
            raise ConnectionError("Connection refused")
        return news["ended"], 0

    with SweepProgress({"F1": "reg=0"}, 0, fetch):
        news["ended"] = [make_ended("a", "F1")]
    assert read_lines(capsys) == ["reg=0  FINISHED  [1/1 done, 0 running, 0 failed]"]


def test_the_time_left_of_a_sweep_follows_the_jobs_that_ended(capsys, news, monkeypatch):
    clock = iter([0.0, 30.0])
    monkeypatch.setattr("mnist_flow.runtime.terminal.time.perf_counter", lambda: next(clock))
    with SweepProgress({f"F{n}": f"seed={n}" for n in range(4)}, 1, lambda since: (news["ended"], 0)):
        news["ended"] = [make_ended("a", "F1")]
    # 30 s a job, and two are left.
    assert read_lines(capsys) == ["seed=1  FINISHED  [2/4 done, 0 running, 0 failed, 0:01:00 left]"]


def test_the_bar_of_a_sweep_shows_the_jobs_that_are_done(capsys, terminal, show_sweep, news):
    with show_sweep():
        news["ended"] = [make_ended("a", "F1", val_accuracy=0.91)]
        news["running"] = 1
    lines = read_lines(capsys)
    assert lines.count("reg=1e-05  FINISHED  val_accuracy 0.9100") == 1
    last = lines[-1]
    assert last.startswith("2/4 done, 1 running, 0 failed ━━━━━━━━━━ ")
    assert last.count("━") == 10
    assert last.endswith("left")


def test_the_terminal_is_given_back_when_the_sweep_fails(capsys, terminal, show_sweep):
    with pytest.raises(KeyboardInterrupt), show_sweep():
        raise KeyboardInterrupt
    out = capsys.readouterr().out
    assert out.rindex("\x1b[?25h") > out.rindex("\x1b[?25l")


# A plan


def read_cells(lines):
    """The cells of a table's rows, its head included."""
    rows = [line for line in lines if line[0] in "│┃"]
    return [[cell.strip() for cell in re.split("[│┃]", row)[1:-1]] for row in rows]


GRID = pd.DataFrame({"job": range(4), "reg": [0.0, 1e-5, 0.1, 1.0], "fingerprint": list("abcd")})
STATES = ["finished", "alive", "interrupted", "new"]


@pytest.mark.parametrize(
    ("seconds", "n_workers", "last"),
    [
        (None, 1, "time: unknown; no finished run of such a model yet"),
        (100.0, None, "time: about 0:01:40 of computing, by the finished runs of these models"),
        (100.0, 1, "time: about 0:01:40 with 1 at a time, by the finished runs of these models"),
        # Two are left, which eight workers do no faster than two.
        (100.0, 8, "time: about 0:00:50 with 8 at a time, by the finished runs of these models"),
    ],
)
def test_a_plan_shows_each_job_its_state_and_the_time(capsys, seconds, n_workers, last):
    print_plan(GRID, STATES, seconds, n_workers)
    lines = read_lines(capsys)
    assert lines[0] == "4 jobs"
    assert read_cells(lines) == [
        ["job", "reg", "state"],
        ["0", "0", "done"],
        ["1", "1e-05", "running"],
        ["2", "0.1", "goes on"],
        ["3", "1", "new"],
    ]
    assert lines[-2:] == ["2 done or running, 2 to train", last]


def test_a_plan_of_which_all_is_done_takes_no_time(capsys):
    print_plan(GRID[:1], ["finished"], 0.0, 1)
    lines = read_lines(capsys)
    assert (lines[0], lines[-1]) == ("1 job", "1 done or running, 0 to train")


# Replicates


def make_replicates(n, **columns):
    return pd.DataFrame(
        {
            "reg": [number / 10 for number in range(n)],
            "n": 2,
            "val_accuracy_mean": [0.5 + number / 1000 for number in range(n)],
            "val_accuracy_std": 0.01234,
            "val_loss_mean": [1 + number / 1000 for number in range(n)],
            "val_loss_std": 0.2,
            "test_accuracy_mean": 0.25,
            "test_accuracy_std": math.nan,
            **columns,
        }
    )


def test_the_best_replicates_come_first(capsys):
    print_replicates(make_replicates(3), ["reg"], "val_accuracy")
    title, *table = read_lines(capsys)
    assert title == "best val_accuracy first: mean ± sample standard deviation over n seeds"
    assert read_cells(table) == [
        ["reg", "n", "val_accuracy", "test_accuracy"],
        ["0.2", "2", "0.5020 ± 0.0123", "0.2500"],
        ["0.1", "2", "0.5010 ± 0.0123", "0.2500"],
        ["0", "2", "0.5000 ± 0.0123", "0.2500"],
    ]


def test_the_lowest_loss_comes_first(capsys):
    print_replicates(make_replicates(2), ["reg"], "val_loss")
    assert read_cells(read_lines(capsys))[1] == ["0", "2", "1.0000 ± 0.2000", "0.2500"]


def test_an_objective_that_is_the_test_accuracy_is_shown_once(capsys):
    print_replicates(make_replicates(2, test_accuracy_mean=[0.1, 0.2]), ["reg"], "test_accuracy")
    assert read_cells(read_lines(capsys)) == [
        ["reg", "n", "test_accuracy"],
        ["0.1", "2", "0.2000"],
        ["0", "2", "0.1000"],
    ]


def test_of_many_replicates_the_best_twenty_are_shown(capsys):
    print_replicates(make_replicates(23), ["reg"], "val_accuracy")
    title, *table = read_lines(capsys)
    assert title.startswith("the best 20 of 23, best val_accuracy first: ")
    cells = read_cells(table)
    assert len(cells) == 21
    assert (cells[1][0], cells[-1][0]) == ("2.2", "0.3")


def test_a_sweep_without_results_shows_no_replicates(capsys):
    print_replicates(pd.DataFrame(), ["reg"], "val_accuracy")
    assert capsys.readouterr().out == ""


def test_numbers_of_a_table(capsys):
    table = pd.DataFrame(
        {"model": ["a", "b"], "n": [10_000, 2], "mean": [0.98123456, math.nan], "seconds": [1234.56789, 1e-6]}
    )
    print_table(table, "results", percent=["mean"])
    title, *lines = read_lines(capsys)
    assert title == "results"
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert rows == [["a", "10000", "98.123 %", "1234.57"], ["b", "2", "", "1e-06"]]
