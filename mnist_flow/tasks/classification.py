"""Telling classes apart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_flow.config.train import TrainConfig
from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.dataset import DatasetInfo, Images, name_class
from mnist_flow.data.noise import Corrupt
from mnist_flow.metrics.classification import (
    Evaluation,
    compute_interval,
    compute_per_class,
    evaluate_predictions,
    find_misclassified,
)
from mnist_flow.models.prediction import predict
from mnist_flow.runtime.lazy import keras
from mnist_flow.tasks.task import Report, Shape, Task, TrainedModel
from mnist_flow.training.adversarial import build_adversarial_learner
from mnist_flow.training.objective import measure_loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# By how much the probabilities of an image may miss a sum of 1: those of bfloat16 have 8 bits.
_PROBABILITY_TOLERANCE = 0.02


class Classification(Task):
    """Minimises the cross-entropy of the labels."""

    title = "a classifier"
    loss_name = "loss (cross-entropy + L2 penalty)"
    default_objective = "val_accuracy"

    def output_shape(self, info: DatasetInfo) -> Shape:
        return (info.n_classes,)

    def describe_misfit(self, model: keras.Model, info: DatasetInfo) -> tuple[str, str] | None:
        if (misfit := super().describe_misfit(model, info)) is not None:
            return misfit
        images = np.random.default_rng(0).random((4, *info.input_shape), np.float32)
        rows = keras.ops.convert_to_numpy(keras.ops.cast(model(images, training=False), "float32"))
        errors = np.maximum(np.abs(rows.sum(axis=1) - 1), -rows.min(axis=1))
        if np.all(errors <= _PROBABILITY_TOLERANCE):
            return None
        worst = rows[errors.argmax()]
        return (
            f"a network whose outputs are no probabilities: those of an image go from {worst.min():.3g} to "
            f"{worst.max():.3g} and sum to {worst.sum():.3g}",
            "one that ends in a softmax, such as keras.layers.Dense(info.n_classes, activation='softmax')",
        )

    def check_config(self, config: TrainConfig) -> None:
        pass  # Every key of the config is for classifiers, too.

    def build_loss(self, label_smoothing: float) -> keras.losses.Loss:
        return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)

    def build_learner(self, model: keras.Model, adversarial_radius: float | None = None) -> keras.Model:
        if adversarial_radius is None:
            return super().build_learner(model)
        return build_adversarial_learner(model, adversarial_radius)

    def build_metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.CategoricalAccuracy("accuracy")]

    def build_targets(self, images: Images, n_classes: int) -> FloatArray:
        return images.one_hot(n_classes)

    def build_validation(self, images: Images, n_classes: int, corrupt: Corrupt | None) -> tuple[Any, FloatArray]:
        # Classifiers are measured on clean images, whatever noise they learn with.
        return images.images, images.one_hot(n_classes)

    def measure(self, trained: TrainedModel, epoch: int) -> Report:
        """Measure accuracy, and the loss in its parts; log predictions, the confusion matrix and the worst mistakes."""
        test = trained.splits.test
        probabilities = predict(trained.model, test.images, trained.evaluation.batch_size)
        predicted = probabilities.argmax(axis=1)
        l2_penalty = float(sum(np.asarray(penalty) for penalty in trained.model.losses))
        measures = evaluate_predictions(probabilities, test.labels, l2_penalty)
        validated = measures
        if (validation := trained.splits.validation) is not test:
            seen = predict(trained.model, validation.images, trained.evaluation.batch_size)
            validated = evaluate_predictions(seen, validation.labels)
        names = trained.info.class_names
        test_loss = measures.loss
        if trained.loss is not None:
            one_hot = test.one_hot(trained.info.n_classes)
            test_loss = l2_penalty + measure_loss(trained.loss, one_hot, probabilities, trained.evaluation.batch_size)
        return Report(
            metrics={
                "test_loss": test_loss,
                "test_cross_entropy": measures.cross_entropy,
                "test_l2_penalty": measures.l2_penalty,
                "test_accuracy": measures.accuracy,
                "test_accuracy_standard_error": measures.standard_error,
                "test_balanced_accuracy": measures.balanced_accuracy,
                "test_macro_f1": measures.macro_f1,
                "val_balanced_accuracy": validated.balanced_accuracy,
                "val_macro_f1": validated.macro_f1,
            },
            input_example=test.images[:5],
            output_example=probabilities[:5],
            records={
                "confusion_matrix/confusion_matrix.json": {
                    "rows": f"true {name_class(names)}",
                    "columns": f"predicted {name_class(names)}",
                    "class_names": list(names),
                    "counts": measures.confusion.tolist(),
                }
            },
            arrays={"predictions/test.npz": {"probabilities": probabilities, "labels": test.labels}},
            tables={"tables/per_class.json": compute_per_class(test.labels, predicted, names)},
            draw=partial(_draw, trained, probabilities, measures),
        )

    def describe_result(self, results: Mapping[str, float], config: TrainConfig, n_test: int) -> dict[str, str]:
        accuracy, error = results["test_accuracy"], results["test_accuracy_standard_error"]
        uncertain = f" ± {error:.2%} (standard error"
        if error == 0:
            low, high = compute_interval(accuracy, n_test)
            uncertain = f" (95 % interval {low:.2%} to {high:.2%}"
        # Runs of older versions have none.
        balanced = results.get("test_balanced_accuracy", accuracy)
        told = f"{balanced:.2%} (mean recall of the classes, whose sizes differ)"
        of_loss, without = "", results["test_cross_entropy"]
        if config.loss is not None:
            of_loss, without = f" ({config.loss.name})", results["test_loss"] - results["test_l2_penalty"]
        return {
            "test accuracy": f"{accuracy:.2%}{uncertain}, n = {n_test:,})",
            # Where classes are of nearly the same size it says the same as the accuracy.
            **({"balanced accuracy": told} if abs(balanced - accuracy) > error else {}),
            "test loss": f"{results['test_loss']:.5f} with the L2 penalty, {without:.5f} without{of_loss}",
            "validation accuracy": f"{results['val_accuracy']:.2%} (epoch {results['selected_epoch']:.0f})",
        }


def _draw(trained: TrainedModel, probabilities: FloatArray, measures: Evaluation) -> dict[str, Figure]:
    """Draw the confusion matrix, and the test images that the network is most confidently wrong about."""
    from mnist_flow import figures

    test, names, predicted = trained.splits.test, trained.info.class_names, probabilities.argmax(axis=1)
    wrong = find_misclassified(probabilities, test.labels, trained.evaluation.misclassified)
    n_wrong = int(np.sum(predicted != test.labels))
    score = f"{trained.name}, {trained.info.name} test set: {n_wrong:,} of {measures.n:,} misclassified"
    which = "all of them, the most confident first" if len(wrong) == n_wrong else f"the {len(wrong)} most confident"
    shown = f"\n{which}: class, prediction and its probability" if n_wrong else ""
    confidence = probabilities[wrong, predicted[wrong]]
    return {
        "confusion_matrix/counts.png": figures.plot_confusion_matrix(measures.confusion, score, names),
        "confusion_matrix/row_normalised.png": figures.plot_confusion_matrix(
            measures.confusion, score, names, normalize=True
        ),
        "samples/misclassified.png": figures.plot_misclassified(
            test.images[wrong], test.labels[wrong], predicted[wrong], confidence, names, f"{score}{shown}"
        ),
    }


TASK = Classification()
