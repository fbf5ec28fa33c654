"""The outputs of every layer of a network for some images: report 002-3A draws the feature maps of its convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mnist_flow.config.section import OptionSection
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.errors import ConfigError, RunError
from mnist_flow.evaluation.subject import EvaluationResult, Subject
from mnist_flow.metrics.classification import choose_one_of_each
from mnist_flow.models.inspection import compute_activations, summarise_activations

TASKS = ("classification", "reconstruction")


class Config(OptionSection):
    digits: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    layers: Literal["all"] | Annotated[list[str], Field(min_length=1)]


def check(name: str, config: Config, info: DatasetInfo) -> None:
    """Refuse labels that the data set does not have.

    Raises:
        ConfigError: a label is too high.
    """
    if max(config.digits) >= info.n_classes:
        raise ConfigError(
            f"measure.{name}.digits={config.digits}: must be labels of {info.name}, 0 to {info.n_classes - 1}; say "
            f"measure.{name}.digits=[0]"
        )


def measure(name: str, config: Config, subject: Subject) -> EvaluationResult:
    """Keep the outputs of the chosen layers for the first test image of each chosen label.

    Returns:
        Table `feature_maps`: a row a layer, see `inspection.summarise_activations`. Metrics: share_zero of each layer.
        The arrays `samples/feature_maps.npz` hold images (n, height, width, channels) float32 in [0, 1], labels (n,)
        int, the texts class_names of the labels 0, 1, …, the texts layers and kinds, one a layer from input to output,
        and the outputs of each layer as output_1, output_2, …, float32 (n, height, width, maps) or (n, units).

    Raises:
        RunError: the model has no such layer, or no test image has a label.
    """
    test, measured = subject.data_set.test, subject.measured
    first = {int(test.labels[index]): index for index in choose_one_of_each(test.labels)}
    if absent := [str(label) for label in config.digits if label not in first]:
        raise RunError(f"measure.{name}.digits={config.digits}: no test image shows {' '.join(absent)}")
    shown = [first[label] for label in config.digits]
    activations = compute_activations(measured.model, measured.scale_images(test.images[shown]))
    if config.layers != "all":
        known = [one.layer for one in activations]
        if unknown := [layer for layer in config.layers if layer not in known]:
            raise RunError(f"measure.{name}.layers: no layer '{unknown[0]}'; choose all, or from {' '.join(known)}")
        activations = [one for one in activations if one.layer in config.layers]
    table = summarise_activations(activations)
    return EvaluationResult(
        metrics={
            f"share_zero_{layer}": share for layer, share in zip(table["layer"], table["share_zero"], strict=True)
        },
        tables={f"tables/{name}.json": table},
        arrays={
            f"samples/{name}.npz": {
                "images": test.images[shown],
                "labels": test.labels[shown],
                "class_names": np.array(subject.data_set.class_names),
                "layers": np.array([one.layer for one in activations]),
                "kinds": np.array([one.kind for one in activations]),
                **{f"output_{number}": one.output for number, one in enumerate(activations, start=1)},
            }
        },
    )


def summarise(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Choose no columns of the command's table, since every model has other layers."""
    return {}
