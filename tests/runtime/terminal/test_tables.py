import math
import re

import pandas as pd
import pytest

from mnist_flow.runtime.terminal import (
    format_mean,
    print_evaluations,
    print_missing,
    print_plan,
    print_replicates,
    print_summary,
    print_table,
)


@pytest.mark.parametrize("where", ["log", "terminal"])
def test_the_summary_has_a_row_a_result(read_lines, request, where):
    if where == "terminal":
        request.getfixturevalue("terminal")
    print_summary("mlp on digits", {"test accuracy": "97.50% ± 0.82%", "run id": "a1b2"})
    title, top, *rows, bottom = read_lines()
    assert title == "mlp on digits"
    assert [[cell.strip() for cell in row.strip("│").split("│")] for row in rows] == [
        ["test accuracy", "97.50% ± 0.82%"],
        ["run id", "a1b2"],
    ]
    assert (top[0], bottom[0]) == ("┌", "└")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((98.644, 0.066, ".2f", " %"), "98.64 ± 0.07 %"),
        ((0.98644, 0.00066, ".4g", "", ".2g"), "0.9864 ± 0.00066"),
        # One value has no spread, and none has no mean.
        ((98.644, float("nan"), ".2f", " %"), "98.64 %"),
        ((float("nan"), float("nan"), ".2f", " %"), ""),
    ],
)
def test_a_mean_is_written_with_its_standard_deviation(numbers, text):
    assert format_mean(*numbers) == text


def test_the_summary_keeps_a_long_value_in_one_line_of_a_log(read_lines):
    uri = "sqlite:///" + "/folder" * 15 + "/mlflow.db"
    print_summary("mlp", {"tracked at": uri})
    assert any(uri in line for line in read_lines())


def test_the_summary_shows_brackets_as_they_are(read_lines):
    print_summary("mlp [b]", {"tracked [i]at": "sqlite:////tmp/a[b]c/mlflow.db"})
    title, _, row, _ = read_lines()
    assert title == "mlp [b]"
    assert "tracked [i]at" in row
    assert "sqlite:////tmp/a[b]c/mlflow.db" in row


# A reproduction


@pytest.mark.parametrize(
    ("workers", "told"),
    [
        ([2, 2], "time: about 0:02:30 with 2 at a time"),
        ([2, 1], "time: about 0:04:10 with 1 or 2 at a time"),
        ([math.nan, math.nan], "time: about 0:05:00 of computing"),
    ],
)
def test_what_is_missing_takes_as_long_as_its_launchers_need(read_lines, workers, told):
    counts = {"experiment": ["width", "fast_99"], "jobs": [4, 10], "done": [2, 0], "running": [0, 0]}
    print_missing(pd.DataFrame({**counts, "to train": [2, 10], "seconds": [100.0, 200.0], "workers": workers}))
    assert read_lines()[-2:] == ["12 runs to train", told]


def test_a_single_run_to_train_is_one(read_lines):
    print_missing(pd.DataFrame({"experiment": ["width"], "to train": [1], "seconds": [9.0], "workers": [1]}))
    assert read_lines()[-2] == "1 run to train"


def test_the_time_of_what_is_done_is_not_told_and_one_not_known_is_said(read_lines):
    counts = {"experiment": ["width", "fast_99"], "jobs": [4, 10], "done": [4, 0], "running": [0, 0]}
    print_missing(pd.DataFrame({**counts, "to train": [0, 10], "seconds": [100.0, math.nan], "workers": [2, 1]}))
    lines = read_lines()
    assert [row[-1] for row in read_cells(lines)[1:]] == ["", "unknown"]
    assert lines[-1] == "time of 1 of the studies: unknown; no finished run of such a model yet"


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
        (None, 1, "time: unknown; no finished run of such a model on these images yet"),
        (100.0, None, "time: about 0:01:40 of computing, by the finished runs of these models"),
        (100.0, 1, "time: about 0:01:40 with 1 at a time, by the finished runs of these models"),
        # Two are left, which eight workers do no faster than two.
        (100.0, 8, "time: about 0:00:50 with 8 at a time, by the finished runs of these models"),
    ],
)
def test_a_plan_shows_each_job_its_state_and_the_time(read_lines, seconds, n_workers, last):
    print_plan(GRID, STATES, seconds, n_workers)
    lines = read_lines()
    assert lines[0] == "4 jobs"
    assert read_cells(lines) == [
        ["job", "reg", "state"],
        ["0", "0", "done"],
        ["1", "1e-05", "running"],
        ["2", "0.1", "goes on"],
        ["3", "1", "new"],
    ]
    assert lines[-2:] == ["2 done or running, 2 to train", last]


def test_a_plan_of_which_all_is_done_takes_no_time(read_lines):
    print_plan(GRID[:1], ["finished"], 0.0, 1)
    lines = read_lines()
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


def test_the_best_replicates_come_first(read_lines):
    print_replicates(make_replicates(3), ["reg"], "val_accuracy", minimise=False)
    title, *table = read_lines()
    assert title == "best val_accuracy first: mean ± sample standard deviation over n seeds"
    assert read_cells(table) == [
        ["reg", "n", "val_accuracy", "test_accuracy"],
        ["0.2", "2", "0.5020 ± 0.0123", "0.2500"],
        ["0.1", "2", "0.5010 ± 0.0123", "0.2500"],
        ["0", "2", "0.5000 ± 0.0123", "0.2500"],
    ]


def test_the_lowest_loss_comes_first(read_lines):
    print_replicates(make_replicates(2), ["reg"], "val_loss", minimise=True)
    assert read_cells(read_lines())[1] == ["0", "2", "1.0000 ± 0.2000", "0.2500"]


def test_an_objective_that_is_the_test_accuracy_is_shown_once(read_lines):
    print_replicates(make_replicates(2, test_accuracy_mean=[0.1, 0.2]), ["reg"], "test_accuracy", minimise=False)
    assert read_cells(read_lines()) == [
        ["reg", "n", "test_accuracy"],
        ["0.1", "2", "0.2000"],
        ["0", "2", "0.1000"],
    ]


def test_of_many_replicates_the_best_twenty_are_shown(read_lines):
    print_replicates(make_replicates(23), ["reg"], "val_accuracy", minimise=False)
    title, *table = read_lines()
    assert title.startswith("the best 20 of 23, best val_accuracy first: ")
    cells = read_cells(table)
    assert len(cells) == 21
    assert (cells[1][0], cells[-1][0]) == ("2.2", "0.3")


def test_twenty_replicates_are_all_of_them(capsys):
    print_replicates(make_replicates(20), ["reg"], "val_accuracy", minimise=False)
    assert "the best 20" not in capsys.readouterr().out


def test_a_sweep_without_results_shows_no_replicates(capsys):
    print_replicates(pd.DataFrame(), ["reg"], "val_accuracy", minimise=False)
    assert capsys.readouterr().out == ""


def test_numbers_of_a_table(read_lines):
    table = pd.DataFrame(
        {"model": ["a", "b"], "n": [10_000, 2], "mean": [0.98123456, math.nan], "seconds": [1234.56789, 1e-6]}
    )
    print_table(table, "results", percent=["mean"])
    title, *lines = read_lines()
    assert title == "results"
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert rows == [["a", "10000", "98.123 %", "1234.57"], ["b", "2", "", "1e-06"]]


BARS = pd.DataFrame({"reg": [0.0, 0.1, 1.0, 2.0], "mean": [0.75, 0.5, 0.25, math.nan]})


def test_a_terminal_shows_bars_from_the_smallest_to_the_largest(terminal, read_lines):
    print_table(BARS, "results", percent=["mean"], bars=BARS["mean"])
    _, _, header, _, *lines = read_lines()
    assert header.strip("┃").split("┃")[-1].strip() == "25 % to 75 %"
    bars = [line.strip("│").split("│")[-1].strip() for line in lines if line.startswith("│")]
    assert bars == ["█" * 24, "█" * 12, "", ""]


def test_a_file_and_equal_numbers_have_no_bars(terminal, monkeypatch, read_lines):
    equal = BARS.assign(mean=0.5)
    print_table(equal, "results", bars=equal["mean"])
    monkeypatch.delenv("TTY_COMPATIBLE")
    print_table(BARS, "results", bars=BARS["mean"])
    assert "█" not in "".join(read_lines())


# Narrow terminals

WIDE = pd.DataFrame([{f"a_long_name_of_column_{number}": f"value_{number}" for number in range(12)}])


def test_a_row_that_is_too_wide_for_the_terminal_is_a_list_of_its_columns(read_lines, terminal):
    print_table(WIDE.assign(mean=0.98), "wide", percent=("mean",))
    _, _, *rows, _ = read_lines()
    found = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]
    assert found == [[name, cell] for name, cell in WIDE.iloc[0].items()] + [["mean", "98 %"]]


def test_several_rows_that_are_too_wide_for_the_terminal_lose_no_letter(read_lines, terminal):
    print_table(pd.concat([WIDE, WIDE]), "wide")
    lines = read_lines()
    assert "…" not in "".join(lines)
    letters = re.sub(r"\W", "", "".join(lines))
    assert letters.count("v") == 2 * 12


def test_columns_that_are_too_wide_together_stand_below_each_other(read_lines, terminal):
    names = list(WIDE)
    print_table(pd.concat([WIDE, WIDE]).assign(mean=0.5), "wide", ["mean"], stacks=(names[:10], [*names[10:], "mean"]))
    _, _, *lines = read_lines()
    cells = [[cell.strip() for cell in line.strip("│┃").split(line[0])] for line in lines if line[0] in "│┃"]
    left, right = zip(*cells, strict=True)
    values = list(WIDE.iloc[0])
    assert list(left) == names[:10] + values[:10] * 2
    assert [cell for cell in right if cell] == [*names[10:], "mean", *[*values[10:], "50 %"] * 2]


@pytest.mark.parametrize("width", [45, 20])
def test_where_columns_below_each_other_would_break_words_each_row_is_a_list(read_lines, terminal, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    table = pd.DataFrame({"run": ["4f1c" * 8, "9d2e" * 8], "name": "digits", "status": "killed", "MB": [12.25, 0.5]})
    print_table(table, "runs", stacks=(("run", "name"), ("status",), ("MB",)))
    lines = read_lines()
    assert max(map(len, lines)) <= width
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert [name for name, _ in cells if name] == ["run", "name", "status", "MB"] * 2
    assert {value for _, value in cells} >= {"digits", "killed", "12.25", "0.5"}
    assert "".join(value for _, value in cells).startswith("4f1c" * 8)


def test_a_table_in_a_log_is_as_wide_as_it_is(read_lines):
    print_table(pd.concat([WIDE, WIDE]), "wide")
    head, *rows = read_cells(read_lines()[1:])
    assert head == list(WIDE)
    assert rows == [list(WIDE.iloc[0])] * 2


# Evaluations


@pytest.mark.parametrize(("n", "title"), [(50, "evaluations"), (51, "evaluations, the first 50 of 51")])
def test_of_evaluations_the_first_fifty_are_printed_with_their_numbers(read_lines, n, title):
    summary = pd.DataFrame(
        {
            "run": [f"mlp {number}" for number in range(n)],
            "run_id": "a1b2",
            "seed": 0,
            "measure": "shift",
            "accuracy at 3": [0.123456] * (n - 1) + [math.nan],
            "evaluation": "c3d4",
            "state": "measured",
        }
    )
    print_evaluations(summary)
    told, _, head, _, *rows, _ = read_lines()
    assert told == title
    cells = [[cell.strip() for cell in re.split("[│┃]", row)[1:-1]] for row in (head, *rows)]
    assert cells[0] == ["run", "run_id", "measure", "accuracy at 3", "state"]
    assert cells[1] == ["mlp 0", "a1b2", "shift", "0.1235", "measured"]
    assert len(cells) == 1 + 50
    assert cells[-1][3] == ("" if n == 50 else "0.1235")
