"""Folders of corrupted copies of a test set, in every layout, and what of them is left out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_flow.data.copies import fit_copies, read_copies, scale_copy
from mnist_flow.data.dataset import DataSet, Images
from mnist_flow.errors import DataError

LABELS = np.array([0, 1, 1])
PIXELS = np.arange(3 * 2 * 3, dtype=np.uint8).reshape(3, 2, 3, 1) * 10
TEST = Images((PIXELS / 255).astype(np.float32), LABELS)
DATA = DataSet("letters", "here", "0" * 16, (2, 3, 1), ("a", "b"), TEST, TEST)


def write(folder: Path, images: np.ndarray = 255 - PIXELS, labels: np.ndarray = LABELS) -> None:
    """A condition as MNIST-C has it."""
    folder.mkdir(parents=True)
    np.save(folder / "test_images.npy", images)
    np.save(folder / "test_labels.npy", labels)
    np.save(folder / "train_images.npy", images)
    np.save(folder / "train_labels.npy", labels)


def fit(folder: Path, data_set: DataSet = DATA) -> tuple[dict[str, Images], list[str]]:
    fitting, troubles = fit_copies(read_copies(str(folder)), data_set)
    return {copy.condition: scale_copy(copy) for copy in fitting}, troubles


def test_a_condition_is_a_folder_a_pair_of_files_or_pictures_by_class(tmp_path):
    write(tmp_path / "fog")
    np.save(tmp_path / "dim_images.npy", (PIXELS[..., 0] / 510).astype(np.float32))
    np.save(tmp_path / "dim_labels.npy", np.array(["a", "b", "b"]))
    for number, name in enumerate("bab"):
        file = tmp_path / "shift" / name / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[number, ..., 0]).save(file)
    (tmp_path / "README.txt").write_text("what this is")
    conditions, troubles = fit(tmp_path)
    assert (list(conditions), troubles) == (["dim", "fog", "shift"], [])
    np.testing.assert_allclose(conditions["fog"].images, 1 - TEST.images, atol=1e-6)
    np.testing.assert_allclose(conditions["dim"].images, TEST.images / 2, atol=0.003)
    np.testing.assert_allclose(conditions["shift"].images, TEST.images[[1, 0, 2]], atol=1e-6)
    assert [one.labels.tolist() for one in conditions.values()] == [[0, 1, 1]] * 3


def test_what_does_not_fit_is_named_and_left_out(tmp_path):
    write(tmp_path / "fine")
    write(tmp_path / "few", PIXELS[:2], LABELS[:2])
    write(tmp_path / "large", np.zeros((3, 4, 4), np.uint8))
    write(tmp_path / "coloured", np.repeat(PIXELS, 3, axis=3))
    write(tmp_path / "more", labels=LABELS[:2])
    write(tmp_path / "other", labels=np.array([0, 1, 2]))
    write(tmp_path / "named", labels=np.array(["a", "b", "c"]))
    write(tmp_path / "torn")
    (tmp_path / "torn" / "test_images.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "void").mkdir()
    write(tmp_path / "identity", PIXELS)
    np.save(tmp_path / "alone_images.npy", PIXELS)
    conditions, troubles = fit(tmp_path)
    assert list(conditions) == ["fine"]
    reasons = {
        "alone": "alone_labels.npy: no such file",
        "few": "has 1 images of class b, but the test set of letters has 2",
        "large": "its images are (4, 4, 1), but those of letters are (2, 3, 1)",
        "coloured": "its images are (2, 3, 3), but those of letters are (2, 3, 1)",
        "more": "has 3 images, but 2 labels",
        "other": "its label 2 is no class of letters",
        "named": "its label c is no class of letters",
        "torn": "not a readable .npy file",
        "identity": "holds the test set itself, which is measured in any case",
        "void": "holds no folders of pictures",
    }
    assert len(troubles) == len(reasons)
    for condition, reason in reasons.items():
        (line,) = (one for one in troubles if one.startswith(f"condition {condition}: "))
        assert reason in line


def test_grey_copies_of_images_in_colour_are_repeated_in_each_channel(tmp_path):
    write(tmp_path / "grey")
    test = Images(np.repeat(TEST.images, 3, axis=3), LABELS)
    conditions, _ = fit(tmp_path, DataSet("photos", "here", "0" * 16, (2, 3, 3), ("a", "b"), test, test))
    np.testing.assert_allclose(conditions["grey"].images, 1 - test.images, atol=1e-6)


def test_the_digest_is_that_of_what_the_files_hold(tmp_path):
    write(tmp_path / "one" / "fog")
    write(tmp_path / "two" / "fog")
    write(tmp_path / "three" / "fog", PIXELS + 1)
    write(tmp_path / "four" / "haze")
    digests = [read_copies(str(tmp_path / name)).digest for name in ("one", "two", "three", "four")]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_changed_file_is_read_again(tmp_path):
    write(tmp_path / "copies" / "fog")
    before = read_copies(str(tmp_path / "copies")).digest
    np.save(tmp_path / "copies" / "fog" / "test_labels.npy", np.array([1, 1, 0]))
    assert read_copies(str(tmp_path / "copies")).digest != before


def test_a_folder_without_conditions_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_copies(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="holds no conditions"):
        read_copies(str(tmp_path))
