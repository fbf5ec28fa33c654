"""A classifier on copies of its test set that lie in a folder: what is measured, left out and refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from mnist_flow.data.dataset import DataSet, Images
from mnist_flow.errors import ConfigError, DataError
from mnist_flow.evaluation import Subject
from mnist_flow.evaluation.measures import files
from mnist_flow.metrics.robustness import UNCHANGED

LABELS = np.array([0, 0, 1, 1])


@pytest.fixture
def subject():
    """Two black images of class a and two white ones of class b, which the classifier tells by their first pixel."""
    x = np.zeros((4, 2, 3, 1), np.float32)
    x[2:] = 1
    part = Images(x, LABELS)

    def predict(x):
        bright = x[:, 0, 0, 0] > 0.5
        return np.where(np.stack([~bright, bright], axis=1), 0.8, 0.2).astype(np.float32)

    data_set = DataSet("letters", "here", "0", (2, 3, 1), ("a", "b"), part, part)
    return Subject(SimpleNamespace(predict=predict), data_set, {})


@pytest.fixture
def write(tmp_path):
    """Write a condition with first pixels of these values; returns the folder of all conditions."""

    def write_condition(condition, first_pixels):
        images = np.zeros((len(first_pixels), 2, 3), np.uint8)
        images[:, 0, 0] = first_pixels
        np.save(tmp_path / f"{condition}_images.npy", images)
        np.save(tmp_path / f"{condition}_labels.npy", LABELS[: len(first_pixels)])
        return tmp_path

    return write_condition


def test_each_condition_is_measured_and_before_them_the_test_set(subject, write):
    write("fog", [0, 255, 0, 0])
    folder = write("dim", [0, 0, 255, 0])
    result = files.measure("copies", files.Config(path=str(folder)), subject)
    (table,) = result.tables.values()
    assert list(result.tables) == ["tables/copies.json"]
    assert table[["condition", "n", "accuracy"]].to_numpy().tolist() == [
        [UNCHANGED, 4, 1.0],
        ["dim", 4, 0.75],
        ["fog", 4, 0.25],
    ]
    assert result.metrics == {
        "copies_mean_accuracy": 0.5,
        "copies_worst_accuracy": 0.25,
        "copies_unchanged_accuracy": 1.0,
    }
    assert list(result.figures) == ["samples/conditions.png"]


def test_conditions_that_do_not_fit_are_named_before_anything_is_measured(subject, write, caplog):
    write("few", [0, 0])
    folder = write("fog", [0, 255, 0, 0])
    files.check("copies", files.Config(path=str(folder)), subject.data_set)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("condition few: has 0 images of class b, but the test set of letters has 2")
    assert record.getMessage().endswith("; it is left out")


def test_a_folder_in_which_nothing_fits_is_refused(subject, write):
    folder = write("few", [0, 0])
    with pytest.raises(DataError, match=rf"^measure.copies.path={folder}: no condition fits letters; condition few:"):
        files.check("copies", files.Config(path=str(folder)), subject.data_set)
    with pytest.raises(ConfigError, match=r"^measure.copies.path=null: name the folder of the copies"):
        files.check("copies", files.Config(path=None), subject.data_set)
