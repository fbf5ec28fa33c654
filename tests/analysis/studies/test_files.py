import pandas as pd

from mnist_flow.analysis.studies.files import order_conditions, plot_conditions
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
