import math
from pathlib import Path

import pandas as pd
import pytest

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.printing import print_study, shorten
from mnist_flow.analysis.query import StudyRuns

SUMMARY = pd.DataFrame(
    {
        "reg": [0.0, 0.1],
        "n": [2, 1],
        "mean": [0.9305, 0.5],
        "std": [0.0007071, math.nan],
        "sem": [0.0005, math.nan],
        "ci_low": [0.9241, math.nan],
        "ci_high": [0.9369, math.nan],
        "min": [0.93, 0.5],
        "max": [0.931, 0.5],
        "parameters": [10, 20],
    }
)


def test_a_mean_and_its_statistics_are_two_columns():
    assert shorten(SUMMARY, of_accuracy=True).to_dict("list") == {
        "reg": [0.0, 0.1],
        "n": [2, 1],
        "mean ± sd": ["93.05 ± 0.07 %", "50.00 %"],
        "95 % interval": ["92.41 to 93.69 %", ""],
        "parameters": [10, 20],
    }
    assert shorten(SUMMARY, of_accuracy=False)["mean ± sd"].tolist() == ["0.9305 ± 0.0007071", "0.5"]


def test_the_interval_of_a_mean_accuracy_ends_where_accuracies_do():
    near = SUMMARY.assign(ci_low=[-0.02, 0.4], ci_high=[0.2, 1.03])
    assert shorten(near, of_accuracy=True)["95 % interval"].tolist() == ["0.00 to 20.00 %", "40.00 to 100.00 %"]
    # A loss or a difference may be there.
    assert shorten(near, of_accuracy=False)["95 % interval"].tolist() == ["-0.02 to 0.2", "0.4 to 1.03"]
    differences = near.rename(columns={"mean": "difference"})
    assert shorten(differences, of_accuracy=True)["95 % interval"][0] == "-2.00 to 20.00 points"


def test_a_difference_and_its_statistics_are_two_columns():
    differences = SUMMARY.rename(columns={"mean": "difference"}).drop(columns=["min", "max"])
    differences["difference"] *= -1
    shortened = shorten(differences, of_accuracy=True)
    assert list(shortened) == ["reg", "n", "difference ± sd", "95 % interval", "parameters"]
    assert shortened["difference ± sd"].tolist() == ["-93.05 ± 0.07 points", "-50.00 points"]


def test_a_table_without_statistics_stays_as_it_is():
    table = SUMMARY[["reg", "n", "min", "max"]]
    assert shorten(table, of_accuracy=True) is table


@pytest.mark.parametrize(("metric", "printed"), [("test_accuracy", " 91 % "), ("test_loss", " 0.91 ")])
def test_columns_beside_a_mean_have_its_unit(capsys, metric, printed):
    table = pd.DataFrame({"network": ["mlp"], "min": [0.91]})
    runs = StudyRuns(pd.DataFrame({"experiment": ["them"]}), pd.DataFrame(), [])
    print_study(runs, Drawing({}, {"": table}, metric), [Path("cnn.csv")])
    told = capsys.readouterr().out
    assert told.startswith("1 run of experiment 'them':")
    assert printed in told


def test_a_table_of_means_is_titled_with_its_metric_and_one_of_choices_with_that_of_the_test(capsys):
    runs = StudyRuns(pd.DataFrame({"experiment": ["them"]}), pd.DataFrame(), [])
    tables = {"": SUMMARY, "selection": SUMMARY.assign(val_accuracy=0.9)}
    print_study(runs, Drawing({}, tables, "f1"), [Path("width.csv"), Path("width_selection.csv")])
    told = capsys.readouterr().out
    assert "width: f1\n" in told
    assert "width_selection: test_accuracy\n" in told
