import re

import pytest
from mlflow.entities import Metric, Run, RunData, RunInfo, RunTag

from mnist_flow.runtime.terminal import SweepProgress, TrainingProgress, progress
from support import wait_until

FIRST = {"loss": 0.51234, "accuracy": 0.8125, "val_loss": 0.4, "val_accuracy": 0.87654, "learning_rate": 0.1}
SECOND = {"loss": 0.25, "accuracy": 0.9, "val_loss": 0.3, "val_accuracy": 0.91, "learning_rate": 0.1}


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
    clock = iter([5.0, 5.0, 15.0])
    monkeypatch.setattr("mnist_flow.runtime.terminal.progress.time.perf_counter", lambda: next(clock))
    with TrainingProgress(epochs=8, n_images=100, first_epoch=5) as progress:
        progress.on_epoch(6, FIRST)
    assert capsys.readouterr().out.endswith("  10 images/s  0:00:20 left\n")


def test_the_bar_shows_epoch_and_metrics(read_lines, terminal):
    with TrainingProgress(epochs=2, n_images=100) as progress:
        progress.on_steps(1, 100, FIRST)
        progress.on_epoch(1, FIRST)
        progress.on_steps(2, 100, SECOND)
    last = read_lines()[-1]
    assert re.match(r"epoch 2/2 ━{20} loss 0\.2500  accuracy 0\.9000  val_accuracy 0\.8765  [\d,]+ images/s", last)


def test_the_bar_is_half_full_after_half_of_the_images(read_lines, terminal):
    with TrainingProgress(epochs=2, n_images=100) as progress:
        progress.on_steps(1, 100, FIRST)
    last = read_lines()[-1]
    assert last.startswith("epoch 1/2 ━━━━━━━━━━")
    assert "loss 0.5123  accuracy 0.8125" in last
    assert "100%" not in last
    # 10 of the 20 cells are full; without colour rich leaves the rest blank.
    assert last.count("━") == 10


def test_the_bar_ends_with_the_last_validation_accuracy(read_lines, terminal):
    with TrainingProgress(epochs=1, n_images=100) as progress:
        progress.on_steps(1, 100, FIRST)
        progress.on_epoch(1, FIRST)
    assert "val_accuracy 0.8765" in read_lines()[-1]


def test_the_terminal_is_given_back_when_the_training_fails(capsys, terminal):
    with pytest.raises(ValueError, match="failed"), TrainingProgress(epochs=1, n_images=100):
        raise ValueError("failed")
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    out = capsys.readouterr().out
    assert out.rindex(shown) > out.rindex(hidden)


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


def test_without_a_terminal_there_is_one_line_a_job_of_a_sweep(read_lines, show_sweep, news, monkeypatch):
    monkeypatch.setattr(progress, "_POLL_SECONDS", 0.01)
    with show_sweep():
        news["running"] = 2
        news["ended"] = [make_ended("a", "F1", val_accuracy=0.91, test_accuracy=0.87654, loss=0.1)]
        shown = wait_for_lines(read_lines, 1)
        news["ended"] = [*news["ended"], make_ended("b", "F2", "FAILED", val_accuracy=0.5)]
        shown += wait_for_lines(read_lines, 1)
        news["running"] = 0
        news["ended"] = [*news["ended"], make_ended("c", "F3", "KILLED")]
    assert shown + read_lines() == [
        "reg=1e-05  FINISHED  val_accuracy 0.9100  test_accuracy 0.8765  [2/4 done, 2 running, 0 failed, 0:00:00 left]",
        "reg=[0.1]  FAILED  [2/4 done, 2 running, 1 failed, 0:00:00 left]",
        "reg=1  KILLED  [2/4 done, 0 running, 2 failed]",
    ]


def wait_for_lines(read_lines, n):
    lines = []

    def are_there():
        lines.extend(read_lines())
        return len(lines) >= n

    wait_until(are_there, seconds=10)
    return lines


def test_runs_that_ended_before_the_sweep_or_belong_to_another_are_not_shown(capsys, show_sweep, news):
    news["ended"] = [make_ended("a", "F1"), make_ended("x", "another sweep's")]
    with show_sweep():
        pass
    assert capsys.readouterr().out == ""


def test_a_job_that_failed_and_then_finished_counts_as_done(read_lines, show_sweep, news):
    news["ended"] = [make_ended("a", "F1", "FAILED", end_time=1)]
    with show_sweep():
        news["ended"] = [make_ended("a", "F1", "FINISHED", end_time=2)]
    assert read_lines() == ["reg=1e-05  FINISHED  [2/4 done, 0 running, 0 failed, 0:00:00 left]"]


def test_a_sweep_asks_for_what_ended_up_to_a_minute_before_the_last_run(news):
    asked = []

    def fetch(since):
        asked.append(since)
        return news["ended"], 0

    with SweepProgress({"F1": "reg=0", "F2": "reg=1"}, 0, fetch) as shown:
        begun = asked[0]
        news["ended"] = [make_ended("a", "F1", end_time=begun + 100_000), make_ended("b", "F2", end_time=begun)]
        shown._look()
    assert asked == [begun, begun, begun + 40_000]


def test_a_server_that_is_away_does_not_end_the_display(read_lines, news):
    away = [True]

    def fetch(since):
        if away.pop() if away else False:
            raise ConnectionError("Connection refused")
        return news["ended"], 0

    with SweepProgress({"F1": "reg=0"}, 0, fetch):
        news["ended"] = [make_ended("a", "F1")]
    assert read_lines() == ["reg=0  FINISHED  [1/1 done, 0 running, 0 failed]"]


def test_the_time_left_of_a_sweep_follows_the_jobs_that_ended(read_lines, news, monkeypatch):
    clock = iter([0.0, 30.0])
    monkeypatch.setattr("mnist_flow.runtime.terminal.progress.time.perf_counter", lambda: next(clock))
    with SweepProgress({f"F{n}": f"seed={n}" for n in range(4)}, 1, lambda since: (news["ended"], 0)):
        news["ended"] = [make_ended("a", "F1")]
    # 30 s a job, and two are left.
    assert read_lines() == ["seed=1  FINISHED  [2/4 done, 0 running, 0 failed, 0:01:00 left]"]
    clock, news["ended"] = iter([0.0, 15.0, 30.0]), []
    with SweepProgress({f"F{n}": f"seed={n}" for n in range(5)}, 1, lambda since: (news["ended"], 0)):
        news["ended"] = [make_ended("a", "F1"), make_ended("b", "F2")]
    # 15 s a job, of which two have ended.
    assert read_lines()[-1] == "seed=2  FINISHED  [3/5 done, 0 running, 0 failed, 0:00:30 left]"


def test_the_bar_of_a_sweep_shows_the_jobs_that_are_done(read_lines, terminal, show_sweep, news):
    with show_sweep():
        news["ended"] = [make_ended("a", "F1", val_accuracy=0.91)]
        news["running"] = 1
    lines = read_lines()
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
