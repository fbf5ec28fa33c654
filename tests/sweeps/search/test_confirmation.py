"""The best trials once more: who gets which, what a lost process means, and which trial is chosen."""

from __future__ import annotations

import pytest

from mnist_flow.sweeps.search.confirmation import Confirmation
from mnist_flow.sweeps.search.coordinator import TrialConnection
from mnist_flow.sweeps.search.study import TrialRecord

TRIALS = [TrialRecord(number, {}, "complete", [[0.9 - number / 10]]) for number in (5, 2, 4)]


def make(objective="val_accuracy", best=TRIALS):
    return Confirmation(assign=lambda record: f"assignment of {record.number}", objective=objective).prepare(best)


@pytest.fixture
def confirmation():
    return make()


def begin(confirmation):
    connection = TrialConnection(confirmation)
    return connection, connection.answer("next")


def finish(connection, *values):
    for number, value in enumerate(values):
        assert connection.answer("run", f"run {value}", False) is None
        assert connection.answer("epoch", 1, value) is None
        assert connection.answer("result", number, [value], number == len(values) - 1) is None
    connection.answer("complete")


def test_each_process_gets_one_of_the_best_in_their_order(confirmation):
    assert not make(best=[]).is_open
    assert confirmation.is_open
    assert [begin(confirmation)[1] for _ in range(4)] == [
        *(f"assignment of {number}" for number in (5, 2, 4)),
        None,
    ]
    assert confirmation.count_left() == 0


@pytest.mark.parametrize(("objective", "chosen"), [("val_accuracy", 4), ("val_loss", 2)])
def test_the_best_mean_over_fresh_seeds_is_chosen_and_of_equal_ones_the_first_trial(objective, chosen):
    confirmation = make(objective)
    assert confirmation.choose() is None
    for values in ((0.5, 0.75), (0.25, 1.0), (0.75, 0.75)):
        finish(begin(confirmation)[0], *values)
    # 0.625, 0.625 and 0.75.
    assert confirmation.choose().number == chosen
    assert confirmation.list_run_ids(TRIALS[1]) == ["run 0.25", "run 1.0"]


def test_the_table_tells_means_spreads_and_why_one_failed(confirmation):
    connection, _ = begin(confirmation)
    finish(connection, 0.5, 0.7)
    # That it ends after its trial is no loss.
    connection.lose()
    assert confirmation.count_left() == 2
    finish(begin(confirmation)[0], 0.4)
    begin(confirmation)[0].answer("failed", "out of memory")
    table = confirmation.build_table()
    assert table["trial"].tolist() == [5, 2, 4]
    assert table["val_accuracy_in_search"].tolist() == pytest.approx([0.4, 0.7, 0.5])
    assert table["n"].tolist() == [2, 1, 0]
    assert table["val_accuracy_mean"][:2].tolist() == pytest.approx([0.6, 0.4])
    # ddof = 1
    assert table["val_accuracy_std"][0] == pytest.approx(0.2 / 2**0.5)
    assert table["val_accuracy_std"][1:].isna().all()
    assert table["run_ids"].tolist() == ["run 0.5 run 0.7", "run 0.4", ""]
    assert table["reason"].tolist() == ["", "", "out of memory"]
    # What failed is not chosen, whatever it reached before.
    assert confirmation.choose().number == 5


def test_a_confirmation_whose_process_is_lost_is_begun_anew_once(confirmation):
    connection, _ = begin(confirmation)
    connection.answer("run", "lost", False)
    connection.answer("result", 1, [0.1], False)
    connection.lose()
    assert confirmation.count_left() == 3
    assert [begin(confirmation)[1] for _ in range(2)] == ["assignment of 2", "assignment of 4"]
    again, assignment = begin(confirmation)
    assert assignment == "assignment of 5"
    again.answer("run", "again", False)
    assert confirmation.list_run_ids(TRIALS[0]) == ["again"]
    again.lose()
    assert confirmation.count_left() == 0
    assert confirmation.build_table()["reason"].tolist() == ["its process was lost twice", "", ""]
