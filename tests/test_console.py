import re

import pytest

from mnist_flow.console import TrainingProgress, print_summary

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


def test_a_label_comes_first(capsys):
    with TrainingProgress(epochs=3, n_images=100, label="[4] reg=[bold]  ") as progress:
        progress.on_epoch(1, FIRST)
    assert capsys.readouterr().out.startswith("[4] reg=[bold]  epoch 1/3  loss 0.5123")


def test_lines_on_a_terminal_where_no_bar_is_wanted(capsys, terminal):
    with TrainingProgress(epochs=1, n_images=100, live=False) as progress:
        progress.on_steps(1, 50, FIRST)
        progress.on_epoch(1, FIRST)
    (line,) = read_lines(capsys)
    assert line.startswith("epoch 1/1  loss 0.5123")


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


def test_the_label_of_the_bar_is_shown_as_it_is(capsys, terminal):
    label = "[4] model.regularized_layers=[dense_1]  "
    with TrainingProgress(epochs=1, n_images=100, label=label) as progress:
        progress.on_steps(1, 100, FIRST)
    assert read_lines(capsys)[-1].startswith(f"{label}epoch 1/1")


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
