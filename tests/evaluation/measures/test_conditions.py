"""The measures of a classifier under changed test images: their headlines, and what they refuse."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mnist_flow.data.dataset import DataSet, DatasetInfo, Images
from mnist_flow.errors import ConfigError
from mnist_flow.evaluation import Subject
from mnist_flow.evaluation.conditions import average_draws
from mnist_flow.evaluation.measures import gaussian, rotation, salt_and_pepper, shift
from mnist_flow.metrics.robustness import list_shifts

# Images of two classes that are not square.
INFO = ("letters", "here", "0" * 16, (9, 12, 1), ("a", "b"))


@pytest.fixture
def subject():
    """Three black images and a white one; class b is white. The classifier says b where the middle is bright."""
    x = np.zeros((4, 9, 12, 1), np.float32)
    x[3] = 1
    part = Images(x, np.array([0, 0, 0, 1]))

    def predict(x):
        bright = x[:, 4, 6, 0] > 0.5
        return np.where(np.stack([~bright, bright], axis=1), 0.8, 0.2).astype(np.float32)

    return Subject(SimpleNamespace(predict=predict), DataSet(*INFO, part, part), {})


def test_headlines_of_shifts_keep_straight_and_diagonal_ones_apart():
    table = pd.DataFrame([one.columns for one in list_shifts(1, ["right", "up", "up_right"], ["wrap"])]).assign(
        accuracy=[0.9, 0.8, 0.7, 0.5]
    )
    assert shift.compute_headlines(table) == {
        "worst_accuracy_at_0_pixels": 0.9,
        "worst_accuracy_at_1_pixels": 0.7,
        "worst_diagonal_accuracy_at_1_pixels": 0.5,
    }


@pytest.mark.parametrize("column", ["level", "stddev"])
def test_headlines_of_noise_are_means_over_the_draws(column):
    table = pd.DataFrame({column: [0.0, 0.0, 0.5, 0.5], "draw": [0, 1, 0, 1], "accuracy": [0.9, 0.9, 0.4, 0.5]})
    assert average_draws(table, column) == pytest.approx(
        {f"accuracy_at_{column}_0": 0.9, f"accuracy_at_{column}_0.5": 0.45}
    )


def test_headlines_of_rotations_are_the_worse_of_both_senses():
    table = pd.DataFrame({"degrees": [-30.0, 0.0, 30.0], "accuracy": [0.4, 0.9, 0.6]})
    assert rotation.compute_headlines(table) == {
        "worst_accuracy_at_0_degrees": 0.9,
        "worst_accuracy_at_30_degrees": 0.4,
    }


def test_shifts_are_measured_on_images_of_any_size(subject):
    config = shift.Config(max_pixels=8, directions=["right", "down"], fills=["zero"])
    result = shift.measure("moved", config, subject)
    table = result.tables["tables/moved.json"]
    assert table["n"].tolist() == [4] * 17
    # The white image is black in the middle once it is moved by more than half of its size.
    by_pixels = table[table["direction"] == "right"].set_index("pixels")["accuracy"]
    assert by_pixels[6] == 1.0
    assert by_pixels[7] == 0.75
    assert result.metrics["moved_worst_accuracy"] == 0.75
    assert result.metrics["moved_worst_accuracy_at_4_pixels"] == 1.0
    assert result.metrics["moved_worst_accuracy_at_5_pixels"] == 0.75
    assert result.metrics["moved_mean_accuracy"] == pytest.approx(table["accuracy"].mean())
    assert shift.summarise("moved", result.metrics) == {
        "mean accuracy": result.metrics["moved_mean_accuracy"],
        "worst accuracy": 0.75,
    }
    assert list(result.figures) == ["samples/shifted.png"]


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (gaussian, {"stddevs": [0.0, 2.0], "draws": 8, "seed": 3}),
        (salt_and_pepper, {"levels": [0.0, 1.0], "draws": 8, "seed": 3}),
    ],
)
def test_noise_is_measured_at_each_level_and_draw(subject, module, options):
    result = module.measure("noisy", module.Config(**options), subject)
    (column,) = {"stddev", "level"} & set(result.tables["tables/noisy.json"])
    table = result.tables["tables/noisy.json"]
    assert table.groupby(column)["draw"].apply(list).to_dict() == {level: [*range(8)] for level in table[column]}
    strongest = table[column].max()
    assert result.metrics[f"noisy_accuracy_at_{column}_0"] == 1.0
    expected = table.loc[table[column] == strongest, "accuracy"].mean()
    assert result.metrics[f"noisy_accuracy_at_{column}_{strongest:g}"] == pytest.approx(expected)
    assert expected < 1


def test_a_shift_must_leave_something_of_the_images():
    info, options = DatasetInfo(*INFO), {"directions": ["right"], "fills": ["zero"]}
    shift.check("moved", shift.Config(max_pixels=8, **options), info)
    with pytest.raises(ConfigError, match=r"^measure\.moved\.max_pixels=9: must be at most 8, since images of letters"):
        shift.check("moved", shift.Config(max_pixels=9, **options), info)
