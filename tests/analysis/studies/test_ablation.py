from collections.abc import Mapping

import pandas as pd
import pytest

from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.statistics import compare_paired, summarise
from mnist_flow.analysis.studies import ablation
from mnist_flow.analysis.studies.ablation import describe_reference, label_changes, plot_differences
from mnist_flow.errors import ConfigError

# Setting (momentum, schedule, final fraction of a cosine, λ) → test accuracy of seed 0; seed 1 has 0.01 more of it.
ACCURACIES = {
    (0.9, "cosine", 0.0, 1e-4): 0.98,
    (0.9, "cosine", 0.0, 0.0): 0.97,
    (0.0, "constant", None, 1e-4): 0.93,
    (0.0, "cosine", 0.0, 1e-4): 0.95,
    (0.9, "constant", None, 1e-4): 0.96,
}


def make_table(accuracies: Mapping[tuple, float] = ACCURACIES) -> pd.DataFrame:
    rows = [
        {
            "run_id": f"{number}-{seed}",
            "experiment": "e",
            "model.name": "mlp",
            "data.name": "mnist",
            "optimizer.momentum": momentum,
            "schedule.name": schedule,
            "schedule.final_fraction": final,
            "reg": reg,
            "seed": seed,
            "test_accuracy": accuracy + seed / 100,
        }
        for number, ((momentum, schedule, final, reg), accuracy) in enumerate(accuracies.items())
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


def test_the_reference_is_the_setting_that_the_others_change_least():
    shuffled = make_table().sample(frac=1, random_state=0)
    labels = label_changes(shuffled)
    by_run = dict(zip(shuffled["run_id"], labels, strict=True))
    assert [by_run[f"{number}-0"] for number in range(5)] == [
        "reference",
        "reg=0",
        "optimizer.momentum=0 + schedule=constant",
        "optimizer.momentum=0",
        "schedule=constant",
    ]


def test_one_setting_has_nothing_to_compare():
    with pytest.raises(ConfigError, match="one setting only"):
        label_changes(make_table().head(2))


def test_single_changes_stand_above_several_and_the_largest_loss_last():
    table = make_table({**ACCURACIES, (0.0, "constant", None, 0.0): 0.92})
    table = table.assign(changed=label_changes(table))
    summary = summarise(table, ["changed"], "test_accuracy")
    differences = compare_paired(table, [], "changed", "reference", "test_accuracy")
    figure = plot_differences(differences, summary, "test_accuracy", "What each change is worth", "model=mlp reg=0.1")
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()][::-1]
    # The last has the changes of the one above, and one more.
    several = ["optimizer.momentum=0 + schedule=constant", "… + reg=0"]
    assert labels == ["reg=0", "schedule=constant", "optimizer.momentum=0", *several]
    assert axes.lines[0].get_xdata()[::-1] == pytest.approx([-1, -2, -3, -5, -6])
    intervals = differences.set_index("changed")[["ci_low", "ci_high"]].mul(100)
    (bars,) = axes.containers[0][2]
    shown = dict(zip(labels[:3], [bar[:, 0].tolist() for bar in bars.get_segments()][::-1], strict=False))
    assert shown == {name: pytest.approx(intervals.loc[name].tolist()) for name in labels[:3]}
    means = [label.get_text() for label in axes.child_axes[0].get_yticklabels()][::-1]
    assert means[0] == "97.50 ± 0.71 %"
    assert "from the reference, 98.50 ± 0.71 %:\nmodel=mlp reg=0.1\n" in axes.get_xlabel()


def test_the_reference_is_told_by_its_model_and_its_values_of_the_keys_that_are_changed():
    table = make_table()
    reference = "model=mlp optimizer.momentum=0.9 schedule=cosine reg=0.0001"
    assert describe_reference(table.assign(changed=label_changes(table))) == reference
    # What the reference does not have is left out: the final fraction of a constant schedule.
    constant = make_table({(0.0, "constant", None, 0.0): 0.9, (0.0, "cosine", 0.5, 0.0): 0.95})
    assert describe_reference(constant.assign(changed=label_changes(constant))) == "model=mlp schedule=constant"


@pytest.mark.parametrize(("metric", "difference"), [(None, -0.01), ("test_loss", 0.1)])
def test_settings_are_compared_by_test_accuracy_or_another_metric(metric, difference):
    table = make_table({key: ACCURACIES[key] for key in list(ACCURACIES)[:2]})
    table = table.assign(test_loss=10 * (1 - table["test_accuracy"]), **{"data.validation": "test"})
    config = ablation.Config(name="ablation", experiments=["e"], filter=None, metric=metric)
    drawing = ablation.draw(StudyRuns(table, pd.DataFrame(), []), config)
    assert drawing.metric == (metric or "test_accuracy")
    assert drawing.tables[""][["changed", "n"]].to_numpy().tolist() == [["reference", 2], ["reg=0", 2]]
    differences = drawing.tables["differences"]
    assert "reference" not in differences
    assert differences[["changed", "n"]].to_numpy().tolist() == [["reg=0", 2]]
    assert differences["difference"].tolist() == [pytest.approx(difference)]
    (figure,) = drawing.figures.values()
    assert figure.get_suptitle().startswith("What each change is worth\nmnist, ")
    unit = "difference in points of test accuracy" if metric is None else "difference of test loss"
    assert figure.axes[0].get_xlabel().startswith(f"{unit} ")
    assert "\nmodel=mlp reg=0.0001\n" in figure.axes[0].get_xlabel()
