import numpy as np
import pandas as pd
import pytest

from mnist_flow.analysis.studies import files
from mnist_flow.analysis.studies.files import order_conditions, plot_conditions
from mnist_flow.errors import TrackingError
from mnist_flow.metrics.robustness import UNCHANGED

ACCURACIES = {UNCHANGED: 0.9, "fog": 0.3, "brighter": 0.95}


def make_measured() -> pd.DataFrame:
    rows = [
        {"model": model, "seed": seed, "run_id": f"{model}{seed}", "condition": condition, "accuracy": accuracy - gap}
        for model, gap in (("lenet5", 0.0), ("mlp_100", 0.1))
        for seed in (0, 1)
        for condition, accuracy in ACCURACIES.items()
    ]
    return pd.DataFrame(rows).assign(**{"data.name": "mnist"})


def test_the_test_set_comes_first_and_then_the_conditions_that_are_known_best():
    assert order_conditions(make_measured()) == [UNCHANGED, "brighter", "fog"]


def test_models_stand_side_by_side_with_their_number_of_runs():
    figure = plot_conditions(make_measured(), "Copies")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [UNCHANGED, "brighter", "fog"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [text.partition(":")[0] for text in legend] == ["lenet5", "mlp_100"]
    assert all("n = 2" in text for text in legend)
    (heights,) = {tuple(sorted(set(line.get_ydata()))) for line in axes.lines[:1]}
    assert [round(height, 3) for height in heights] == [-0.175, 0.825, 1.825]


@pytest.mark.parametrize(("reference", "tables"), [("lenet5", ["", "differences"]), (None, [""])])
def test_models_are_compared_under_each_condition(measured_runs, reference, tables):
    for model, gap in (("lenet5", 0.0), ("mlp_100", 0.1)):
        for seed in (0, 1):
            table = pd.DataFrame({"condition": list(ACCURACIES), "n": 100, "accuracy": list(ACCURACIES.values())})
            table["accuracy"] -= gap * (1 + seed)
            measured_runs.evaluate(measured_runs.train(model, seed), "files", table)
    config = files.Config(name="files", experiments=["x"], filter=None, reference=reference)
    drawing = files.draw(measured_runs.build(), config)
    assert list(drawing.tables) == tables
    assert drawing.metric == "accuracy"
    summary = drawing.tables[""]
    assert summary[["model", "condition", "n"]].to_numpy().tolist() == [
        [model, condition, 2] for model in ("lenet5", "mlp_100") for condition in ACCURACIES
    ]
    np.testing.assert_allclose(summary["mean"], [0.9, 0.3, 0.95, 0.75, 0.15, 0.8])
    title = drawing.figures[""].get_suptitle()
    assert title.startswith("Corrupted copies of the test set\nmnist, ")
    if reference:
        differences = drawing.tables["differences"]
        assert differences[["condition", "model", "reference", "n"]].to_numpy().tolist() == [
            [condition, "mlp_100", "lenet5", 2] for condition in ACCURACIES
        ]
        np.testing.assert_allclose(differences["difference"], [-0.15] * 3)


def test_runs_that_are_not_measured_name_the_command(measured_runs):
    measured_runs.train("lenet5", 0)
    config = files.Config(name="files", experiments=["x"], filter=None, reference=None)
    command = r"python -m mnist_flow\.evaluate measure=files tracking\.experiment_name=lenet5 measure\.files\.path=DIR"
    with pytest.raises(TrackingError, match=f"^study=files: no run of lenet5 is measured; measure them: {command}$"):
        files.draw(measured_runs.build(), config)
