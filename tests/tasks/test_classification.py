from types import SimpleNamespace

import numpy as np
import pytest

from mnist_flow import figures
from mnist_flow.metrics.classification import evaluate_predictions
from mnist_flow.tasks import classification


@pytest.mark.parametrize(
    ("most", "caption"), [(2, "all of them, the most confident first"), (1, "the 1 most confident")]
)
def test_the_figure_of_mistakes_says_whether_it_shows_all(monkeypatch, most, caption):
    titles = []
    monkeypatch.setattr(figures, "plot_misclassified", lambda *arguments: titles.append(arguments[-1]))
    monkeypatch.setattr(
        figures, "plot_confusion_matrix", lambda *arguments, normalize=False: (*arguments[1:], normalize)
    )
    labels = np.array([0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    trained = SimpleNamespace(
        name="mlp",
        splits=SimpleNamespace(test=SimpleNamespace(images=np.zeros((3, 8, 8, 1)), labels=labels)),
        info=SimpleNamespace(name="digits", class_names=("a", "b")),
        evaluation=SimpleNamespace(misclassified=most),
    )
    drawn = classification._draw(trained, probabilities, evaluate_predictions(probabilities, labels))
    score = "mlp, digits test set: 2 of 3 misclassified"
    assert drawn["confusion_matrix/counts.png"] == (score, ("a", "b"), False)
    assert drawn["confusion_matrix/row_normalised.png"] == (score, ("a", "b"), True)
    assert titles == [f"mlp, digits test set: 2 of 3 misclassified\n{caption}: class, prediction and its probability"]
