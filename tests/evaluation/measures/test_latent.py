from dataclasses import replace

import numpy as np
import pytest

from mnist_flow.data.dataset import DataSet, Images
from mnist_flow.errors import RunError
from mnist_flow.evaluation.measures import latent
from mnist_flow.evaluation.measures.latent import project_latents
from mnist_flow.evaluation.subject import LoadedModel, Subject
from mnist_flow.models.autoencoder import build_autoencoder
from mnist_flow.models.unet import build_unet


def make_model(latent_units: int) -> LoadedModel:
    """An autoencoder whose code is the first pixels of an image, times ten."""
    model = build_autoencoder((28, 28, 1), [], latent_units, latent_activation="linear")
    model.get_layer("encoder").set_weights([10 * np.eye(784, latent_units), np.zeros(latent_units)])
    return LoadedModel("a", "autoencoder", model, 1.0, 7)


def make_images(codes: np.ndarray, labels: np.ndarray) -> Images:
    images = np.zeros((len(codes), 784), np.float32)
    images[:, : codes.shape[1]] = codes / 10
    return Images(images.reshape(-1, 28, 28, 1), labels)


def make_subject(latent_units: int) -> Subject:
    """Digits 0 to 3 at the corners of a square, four training images each; the last of four test images is a 0 at 3."""
    rng = np.random.default_rng(0)
    corners = np.zeros((4, latent_units))
    corners[:, :2] = [[0, 0], [0, 8], [8, 0], [8, 8]]
    # The first four are not labelled as the last.
    labels = np.array([0, 1, 2, 3, 0, 1, 2, 3, 3, 2, 1, 0, 3, 2, 1, 0])
    train = make_images(corners[labels] + 0.1 * rng.random((16, latent_units)), labels)
    test = make_images(corners, np.array([0, 1, 2, 0]))
    data_set = DataSet("digits", "here", "0", (28, 28, 1), tuple("0123456789"), train, test)
    return Subject(make_model(latent_units), data_set, {})


def test_accuracy_of_neighbours_and_codes_against_literals():
    result = latent.measure("latent", latent.Config(k=3, neighbours_from=100), make_subject(2))
    assert result.metrics == {"knn_accuracy": 0.75}
    (row,) = result.tables["tables/latent.json"].to_dict("records")
    assert row == {
        "k": 3,
        "neighbours_from": 16,
        "latent": 2,
        "n": 4,
        "accuracy": 0.75,
        "standard_error": pytest.approx(np.sqrt(0.75 * 0.25 / 4)),
    }
    arrays = result.arrays["samples/latent.npz"]
    np.testing.assert_allclose(arrays["points"], [[0, 0], [0, 8], [8, 0], [8, 8]], atol=1e-5)
    assert arrays["labels"].tolist() == [0, 1, 2, 0]
    assert arrays["class_names"].tolist() == list("0123456789")
    assert len(arrays["explained"]) == 0
    assert arrays["latent"] == 2
    assert latent.summarise("latent", result.metrics) == {"kNN accuracy": 0.75}


def test_only_the_first_training_images_are_neighbours():
    # One of each digit: three neighbours are of three digits, and the least wins.
    result = latent.measure("latent", latent.Config(k=4, neighbours_from=4), make_subject(2))
    assert result.tables["tables/latent.json"]["neighbours_from"].tolist() == [4]
    assert result.metrics["knn_accuracy"] == 0.5
    nearest = latent.measure("latent", latent.Config(k=1, neighbours_from=4), make_subject(2))
    assert nearest.metrics["knn_accuracy"] == 0.75


def test_long_codes_are_projected_and_not_kept():
    result = latent.measure("latent", latent.Config(k=1, neighbours_from=16), make_subject(200))
    arrays = result.arrays["samples/latent.npz"]
    assert "codes" not in arrays
    assert arrays["points"].shape == (4, 2)
    assert result.metrics["explained_variance_1"] + result.metrics["explained_variance_2"] > 0.98


def test_latents_of_at_most_128_units_are_kept():
    result = latent.measure("latent", latent.Config(k=1, neighbours_from=16), make_subject(128))
    assert result.arrays["samples/latent.npz"]["codes"].shape == (4, 128)


def test_training_images_give_the_axes():
    subject = make_subject(3)
    train = make_images(np.array([[4, 0, 0], [-4, 0, 0], [0, 2, 0], [0, -2, 0]]), np.arange(4))
    test = make_images(np.array([[0, 0, 9], [4, 0, -9]]), np.arange(2))
    subject = replace(subject, data_set=replace(subject.data_set, train=train, test=test))
    result = latent.measure("latent", latent.Config(k=1, neighbours_from=4), subject)
    assert result.metrics["explained_variance_1"] == pytest.approx(0.8)
    assert result.metrics["explained_variance_2"] == pytest.approx(0.2)
    points = result.arrays["samples/latent.npz"]["points"]
    np.testing.assert_allclose(np.abs(points), [[0, 0], [4, 0]], atol=1e-5)


def test_projection_against_literals():
    # Variances 32, 8 and 0 along the axes.
    codes = np.array([[4, 0, 1], [-4, 0, 1], [0, 2, 1], [0, -2, 1]], np.float32)
    points, explained = project_latents(codes, codes)
    np.testing.assert_allclose(np.abs(points), [[4, 0], [4, 0], [0, 2], [0, 2]], atol=1e-6)
    np.testing.assert_allclose(explained, [0.8, 0.2], atol=1e-6)
    assert points.dtype == explained.dtype == np.float32


def test_projection_of_codes_that_are_all_one_explains_nothing():
    points, explained = project_latents(np.ones((5, 3), np.float32), np.ones((2, 3), np.float32))
    assert not points.any()
    assert explained.tolist() == [0, 0]


def test_codes_of_one_number_lie_on_a_line():
    points, explained = project_latents(np.ones((3, 1), np.float32), np.array([[5], [6]], np.float32))
    assert points.tolist() == [[5, 0], [6, 0]]
    assert len(explained) == 0


def test_codes_of_a_model_without_encoder_are_told():
    measured = LoadedModel("a", "unet", build_unet((28, 28, 1), [2], 2), 1.0, 1)
    with pytest.raises(RunError, match=r"^run a: its model has no layer 'encoder', but images images_split .*_double$"):
        latent.measure("latent", latent.Config(k=3, neighbours_from=100), replace(make_subject(2), measured=measured))


def test_more_neighbours_than_images_are_told():
    with pytest.raises(RunError, match=r"measure\.latent\.k=17: must be at most the 16 training images taken"):
        latent.measure("latent", latent.Config(k=17, neighbours_from=100), make_subject(2))
