"""A classifier on corrupted copies of the test set that lie in a folder, such as MNIST-C (Mu and Gilmer, 2019)."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from mnist_flow.config.section import FilePath, OptionSection
from mnist_flow.data.copies import fit_copies, read_copies, scale_copy
from mnist_flow.data.dataset import DataSet, Images
from mnist_flow.errors import ConfigError, DataError
from mnist_flow.evaluation.conditions import summarise_accuracies
from mnist_flow.evaluation.subject import EvaluationResult, Subject
from mnist_flow.figures import plot_image_rows
from mnist_flow.metrics.classification import choose_one_of_each, evaluate_predictions
from mnist_flow.metrics.robustness import UNCHANGED

log = logging.getLogger(__name__)

TASKS = ("classification",)
summarise = summarise_accuracies
_SHOWN_IMAGES, _SHOWN_CONDITIONS = 10, 40


class Config(OptionSection):
    path: FilePath


def check(name: str, config: Config, info: DataSet) -> None:
    """Name the conditions that are left out.

    Raises:
        ConfigError: no folder is named.
        DataError: there is no such folder, or none of its conditions fits the test set.
    """
    if config.path is None:
        raise ConfigError(f"measure.{name}.path=null: name the folder of the copies: measure.{name}.path=DIR")
    fitting, troubles = fit_copies(read_copies(config.path), info)
    if not fitting:
        raise DataError(f"measure.{name}.path={config.path}: no condition fits {info.name}; {troubles[0]}")
    for trouble in troubles:
        log.warning("%s; it is left out", trouble)


def describe_read(config: Config) -> dict[str, str]:
    """The digest of all conditions that can be read."""
    return {"digest": read_copies(str(config.path)).digest}


def measure(name: str, config: Config, subject: Subject) -> EvaluationResult:
    """Measure the classifier on every condition that fits, and on the test set itself; draw some images of each.

    Returns:
        A table with a row a condition, the test set first, and as metrics the mean and the worst accuracy over the
        conditions and the accuracy on the test set.
    """
    test = subject.data_set.test
    copies, _ = fit_copies(read_copies(str(config.path)), subject.data_set)
    rows, shown = [_measure(subject, UNCHANGED, test)], [(UNCHANGED, _choose_shown(test))]
    for copy in copies:
        images = scale_copy(copy)
        rows.append(_measure(subject, copy.condition, images))
        shown.append((copy.condition, _choose_shown(images)))
    table = pd.DataFrame(rows)
    changed = table["accuracy"].iloc[1:]
    metrics = {
        f"{name}_mean_accuracy": float(changed.mean()),
        f"{name}_worst_accuracy": float(changed.min()),
        f"{name}_unchanged_accuracy": float(table["accuracy"].iloc[0]),
    }
    figure = plot_image_rows(shown[:_SHOWN_CONDITIONS], "The first image of each class under each condition")
    return EvaluationResult(metrics, {f"tables/{name}.json": table}, {"samples/conditions.png": figure})


def _measure(subject: Subject, condition: str, images: Images) -> dict[str, object]:
    evaluation = evaluate_predictions(subject.measured.predict(images.images), images.labels)
    return {"condition": condition, **evaluation.list_measures()}


def _choose_shown(images: Images) -> np.ndarray:
    """The first image of each of the first classes; copies may have their images in another order."""
    return images.images[choose_one_of_each(images.labels, _SHOWN_IMAGES)]
