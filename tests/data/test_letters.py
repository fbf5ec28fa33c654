import numpy as np
import pytest

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.dataset import DataSet
from mnist_flow.data.loading import load_data_set
from mnist_flow.errors import ConfigError


@pytest.fixture(scope="module")
def letters() -> DataSet:
    return load_data_set("letters")


def test_as_many_images_of_each_letter(letters):
    assert letters.class_names == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert letters.input_shape == (28, 28, 1)
    for part, each in ((letters.train, 240), (letters.test, 60)):
        assert part.images.shape == (26 * each, 28, 28, 1)
        assert np.bincount(part.labels).tolist() == [each] * 26


def test_the_letters_never_change(letters):
    """The pixels depend on matplotlib's FreeType and on SciPy, not on the process or the machine."""
    assert letters.digest == "67de82ee2523fd8f"
    assert letters.test.labels[:8].tolist() == [10, 4, 13, 9, 15, 3, 23, 7]


def test_no_letter_is_empty_or_leaves_its_image(letters):
    ink = letters.train.images.mean(axis=(1, 2, 3))
    assert ink.min() > 0.02
    assert ink.max() < 0.5
    borders = [letters.train.images[:, edge].max(axis=(1, 2)) for edge in (0, -1)]
    assert np.mean(np.stack(borders) > 0.5) < 0.01


def test_no_image_of_the_test_part_is_in_training(letters):
    seen = {image.tobytes() for image in letters.train.images}
    assert len(seen) == len(letters.train)
    assert not any(image.tobytes() in seen for image in letters.test.images)


def test_a_file_belongs_to_another_data_set(compose_config):
    with pytest.raises(ConfigError, match=r"data.path=x.npz: belongs to data=files; the letters are drawn"):
        validate_config(compose_config("data=letters", "data.path=x.npz"), TrainConfig)
