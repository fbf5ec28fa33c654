import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, classification_report, f1_score, log_loss

from mnist_flow.metrics.classification import (
    compute_cross_entropy,
    compute_interval,
    compute_per_class,
    compute_standard_error,
    evaluate_predictions,
    find_misclassified,
)
from mnist_flow.models.prediction import predict

LABELS = np.array([2, 7, 1, 8])


@pytest.fixture
def probabilities() -> np.ndarray:
    """Of four images: a sure hit, a hit, a sure miss (8 for 1) and a row without preference, whose argmax is 0."""
    rows = np.empty((4, 10), np.float32)
    for row, (digit, of_digit, of_others) in enumerate([(2, 0.91, 0.01), (7, 0.55, 0.05), (8, 0.82, 0.02)]):
        rows[row] = of_others
        rows[row, digit] = of_digit
    rows[3] = 0.1
    return rows


@pytest.fixture
def random() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of 500 images."""
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(10), 500), rng.integers(0, 10, 500)


def test_measures_of_unequal_classes_are_scikit_learns(random):
    probabilities, labels = random
    labels = np.where(labels < 7, 0, labels)  # classes 1 to 6 are predicted, and have no images
    evaluation, predicted = evaluate_predictions(probabilities, labels), probabilities.argmax(axis=1)
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert evaluation.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert evaluation.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert evaluation.balanced_accuracy != pytest.approx(evaluation.accuracy, rel=0.1)


def test_each_class_counts_alike_in_balanced_accuracy_and_macro_f1():
    # Three images of class 0, of which one is taken for 1, and one of class 1.
    evaluation = evaluate_predictions(np.eye(2, dtype=np.float32)[[0, 0, 1, 1]], np.array([0, 0, 0, 1]))
    assert evaluation.accuracy == 0.75
    assert evaluation.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
    # Of class 0: precision 1, recall 2/3; of class 1: precision 1/2, recall 1.
    assert evaluation.macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_evaluation_against_literals(probabilities):
    evaluation = evaluate_predictions(probabilities, LABELS, l2_penalty=0.25)
    assert (evaluation.n, evaluation.accuracy) == (4, 0.5)
    # -(ln 0.91 + ln 0.55 + ln 0.02 + ln 0.1) / 4
    assert evaluation.cross_entropy == pytest.approx(1.726689, abs=1e-6)
    assert evaluation.l2_penalty == 0.25
    assert evaluation.loss == pytest.approx(1.976689, abs=1e-6)
    assert evaluation.standard_error == 0.25


def test_confusion_has_true_digits_in_its_rows(probabilities):
    confusion = evaluate_predictions(probabilities, LABELS).confusion
    assert confusion.shape == (10, 10)
    assert np.argwhere(confusion).tolist() == [[1, 8], [2, 2], [7, 7], [8, 0]]
    assert confusion.sum() == 4


def test_evaluation_against_scikit_learn(random):
    probabilities, labels = random
    evaluation = evaluate_predictions(probabilities, labels)
    assert evaluation.accuracy == accuracy_score(labels, probabilities.argmax(axis=1))
    assert evaluation.cross_entropy == pytest.approx(log_loss(labels, probabilities))


def test_cross_entropy_against_keras(random):
    probabilities, labels = random
    keras_loss = keras.losses.CategoricalCrossentropy()(np.eye(10)[labels], probabilities)
    assert compute_cross_entropy(probabilities, labels) == pytest.approx(float(keras_loss), rel=1e-5)


@pytest.mark.parametrize(("of_true", "expected"), [(0.0, 16.118096), (0.5, 0.693147), (1.0, 1e-7)])
def test_cross_entropy_is_clipped_as_keras_does(of_true, expected):
    row = np.full((1, 10), (1 - of_true) / 9, np.float32)
    row[0, 4] = of_true
    assert compute_cross_entropy(row, np.array([4])) == pytest.approx(expected, rel=1e-6)
    keras_loss = float(keras.losses.CategoricalCrossentropy()(np.eye(10)[[4]], row))
    assert keras_loss == pytest.approx(expected, abs=1e-6, rel=1e-4)


@pytest.mark.parametrize(
    ("accuracy", "n", "expected"),
    [(0.982, 10_000, 0.0013295), (0.995, 10_000, 0.00070534), (1.0, 360, 0.0), (0.5, 100, 0.05)],
)
def test_standard_error(accuracy, n, expected):
    assert compute_standard_error(accuracy, n) == pytest.approx(expected, rel=1e-4)


# Newcombe (1998), table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
@pytest.mark.parametrize(
    ("k", "n", "expected"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilsons_interval_of_an_accuracy(k, n, expected):
    assert compute_interval(k / n, n) == pytest.approx(expected, abs=5e-5)
    assert compute_interval(1 - k / n, n) == pytest.approx((1 - expected[1], 1 - expected[0]), abs=5e-5)


def test_per_class_against_literals():
    table = compute_per_class(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0]), "0123456789")
    assert table["digit"].tolist() == list(range(10))
    assert table["support"].tolist() == [3, 2, 1] + [0] * 7
    np.testing.assert_allclose(table["precision"], [2 / 3, 2 / 3, 0] + [0] * 7)
    np.testing.assert_allclose(table["recall"], [2 / 3, 1, 0] + [0] * 7)
    np.testing.assert_allclose(table["f1"], [2 / 3, 0.8, 0] + [0] * 7)


def test_named_classes_stand_under_their_names():
    table = compute_per_class(np.array([0, 1, 1]), np.array([0, 1, 0]), ["cat", "dog", "frog"])
    assert list(table) == ["class", "precision", "recall", "f1", "support"]
    assert table["class"].tolist() == ["cat", "dog", "frog"]
    assert table["recall"].tolist() == [1, 0.5, 0]


def test_two_of_the_digits_stand_under_their_names_and_not_their_labels():
    table = compute_per_class(np.array([0, 1]), np.array([0, 1]), ["3", "5"])
    assert table["class"].tolist() == ["3", "5"]


def test_as_many_classes_as_probabilities():
    evaluation = evaluate_predictions(np.eye(26, dtype=np.float32)[[25, 3, 3]], np.array([25, 3, 4]))
    assert evaluation.confusion.shape == (26, 26)
    assert np.argwhere(evaluation.confusion).tolist() == [[3, 3], [4, 3], [25, 25]]
    assert evaluation.recalls[[3, 4, 25]].tolist() == [1, 0, 1]
    assert np.isnan(evaluation.recalls).sum() == 23


def test_per_class_against_scikit_learn(random):
    probabilities, labels = random
    predicted = probabilities.argmax(axis=1)
    report = classification_report(labels, predicted, output_dict=True)
    table = compute_per_class(labels, predicted, "0123456789")
    assert table["recall"].mean() == pytest.approx(report["macro avg"]["recall"])
    for digit, row in table.iterrows():
        expected = report[str(digit)]
        for measure, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert row[measure] == pytest.approx(expected[name])


def test_misclassified_come_in_order_of_confidence(probabilities):
    images = [3, 0, 2, 1]  # the misses are now at 0, sure of 10 %, and at 2, sure of 82 %
    assert find_misclassified(probabilities[images], LABELS[images], most=25).tolist() == [2, 0]


@pytest.mark.parametrize(("most", "expected"), [(0, []), (1, [2]), (2, [2, 3])])
def test_misclassified_are_at_most_so_many(probabilities, most, expected):
    assert find_misclassified(probabilities, LABELS, most).tolist() == expected


def test_equally_confident_mistakes_keep_their_order():
    assert find_misclassified(np.full((5, 10), 0.1), np.array([1, 0, 2, 0, 3]), most=25).tolist() == [0, 2, 4]


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_predictions_do_not_depend_on_the_batch_size(batch_size):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    )
    images = np.random.default_rng(0).random((7, 28, 28, 1), dtype=np.float32)
    kernel, bias = model.get_weights()
    logits = images.reshape(7, 784) @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    probabilities = predict(model, images, batch_size)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)
    assert np.array_equal(probabilities, model.predict(images, batch_size=batch_size, verbose=0))


def test_the_macro_recall_is_the_mean_over_the_classes_there_are():
    """Two of two, one of three, none of one; the fourth class has no image."""
    labels, predicted = np.array([0, 0, 1, 1, 1, 2]), np.array([0, 0, 1, 2, 3, 0])
    measures = evaluate_predictions(np.eye(4, dtype=np.float32)[predicted], labels).list_measures()
    assert measures["macro_recall"] == pytest.approx((1 + 1 / 3 + 0) / 3)
