"""Images that an autoencoder makes, judged by a reference classifier: reports 002-4D and 003-4D."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field
from threadpoolctl import threadpool_limits

from mnist_flow.config.evaluate import OptionalPartnerConfig, PartnerConfig
from mnist_flow.config.section import Count, Fraction, OptionSection, Section, Seed
from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.data.dataset import Images
from mnist_flow.data.noise.salt_and_pepper import add_noise as add_salt_and_pepper
from mnist_flow.errors import RunError
from mnist_flow.evaluation.subject import EvaluationResult, LoadedModel, Subject
from mnist_flow.figures import plot_beside_nearest
from mnist_flow.metrics.synthesis import (
    ALL,
    TEST_IMAGES,
    WAYS,
    choose_nearer,
    find_nearest,
    interpolate_latents,
    label_by_nearest,
    measure_samples,
    salt_latents,
    sample_mixture_latents,
    sample_uniform_latents,
)
from mnist_flow.models.prediction import predict

TASKS = ("reconstruction", "generation")
NEEDED_LAYERS = ("decoder",)
PARTNER_TASKS = {"judge": "classification", "sharpener": "reconstruction"}

# Images in a row of a figure, the nearest ones included.
_COLUMNS = 12
# Rows of it: a picture of many more classes could not be looked at.
_SHOWN_CLASSES = 47
# Keys the random numbers that choose the real images; those of a method are keyed by its place in `_METHODS`.
_TEST_IMAGES_KEY = 2**16

Way = Literal["interpolation", "salted_codes", "random_codes", "noise_codes", "gaussian_mixture", "conditional_decoder"]


class MixtureConfig(Section):
    components: Count
    max_dimensions: Count
    keep: Annotated[float, Field(gt=0, le=1)]


class Config(OptionSection):
    ways: Literal["all"] | Annotated[list[Way], Field(min_length=1)]
    samples: Count
    seed: Seed
    salt_level: Fraction
    noise_level: Fraction
    mixture: MixtureConfig
    judge: PartnerConfig
    sharpener: OptionalPartnerConfig


@dataclass(frozen=True)
class _Samples:
    """Images that one method made."""

    method: str
    # The label that each was made as, int64 (n,); None: no label was intended.
    intended: IntArray | None
    # float32 (n, height, width, channels): as decoded, passed through the sharpener once, twice.
    steps: list[FloatArray]


@dataclass(frozen=True)
class _Generator:
    """The measured model, which makes images, and the training images whose latents it starts from."""

    config: Config
    subject: Subject

    @property
    def labels(self) -> IntArray:
        """Labels of the training images, int64 (m,)."""
        return self.subject.data_set.train.labels

    @cached_property
    def latents(self) -> FloatArray:
        """Latents of the training images, float32 (m, units)."""
        return self.subject.measured.encode(self.subject.data_set.train.images)

    @property
    def n_samples(self) -> int:
        """Images to make, of all classes together."""
        return self.subject.data_set.n_classes * self.config.samples

    def decode(self, latents: FloatArray) -> FloatArray:
        """Decode latents (n, units) to images."""
        decoder = self.subject.measured.get_half("decoder")
        shaped = latents.astype(np.float32).reshape(len(latents), *decoder.input_shape[1:])
        return predict(decoder, shaped, self.subject.measured.batch_size)

    def sharpen(self, images: FloatArray, times: int) -> list[FloatArray]:
        """Pass images through the sharpener again and again; returns the images, and what each time makes of them."""
        sharpener, steps = self.subject.partners.get("sharpener", self.subject.measured), [images]
        for _ in range(times):
            steps.append(sharpener.predict(steps[-1]))
        return steps

    def choose_of_each(self, rng: np.random.Generator, other: bool = False) -> IntArray:
        """Choose training images of each label, or as many of any other label; returns their indices."""
        candidates = [np.flatnonzero((self.labels == label) != other) for label in np.unique(self.labels)]
        return np.concatenate([rng.choice(indices, self.config.samples) for indices in candidates])


# What is known of the images of a step: the reference classifier's probabilities (n, classes), the distance of each to
# the nearest training image (n,), and its index (n,).
_Judged = tuple[FloatArray, FloatArray, IntArray]


def measure(name: str, config: Config, subject: Subject) -> EvaluationResult:
    """Make images by every method that the model is capable of, and measure them.

    Returns:
        Table `synthesis`: way (the method), step (how often an image was passed through the sharpener), and the columns
        of `metrics.synthesis.measure_samples`; the rows of `test_images` are about real ones, for comparison. Metrics:
        those of all labels together, by method, step and measure. For each method a figure and the arrays that it
        shows: made and nearest, float32 (steps, n, height, width, channels), intended (n,), -1 for none, judged (the
        reference classifier's predictions) and nearest_distance (steps, n).

    Raises:
        RunError: the model has no encoder or decoder, or is not capable of a method that was asked for.
    """
    methods, generator, order = choose_methods(config.ways, subject.measured), _Generator(config, subject), [*_METHODS]
    train, judge, class_names = subject.data_set.train.images, subject.partners["judge"], subject.data_set.class_names
    result = EvaluationResult({})
    tables: list[pd.DataFrame] = []
    # Linear algebra on several threads gives other last bits with every number of cores, and competes with TensorFlow.
    with threadpool_limits(limits=1):
        streams = {method: np.random.default_rng([config.seed, order.index(method)]) for method in methods}
        made = [samples for method, rng in streams.items() for samples in _METHODS[method](generator, rng)]
        real = _choose_real(subject.data_set.test, config)
        for samples in [_Samples(TEST_IMAGES, real.labels, [real.images]), *made]:
            judged: list[_Judged] = [(judge.predict(images), *find_nearest(images, train)) for images in samples.steps]
            for step, (images, (probabilities, distances, _)) in enumerate(zip(samples.steps, judged, strict=True)):
                table = measure_samples(
                    images, samples.intended, probabilities, distances, real.images, real.labels, class_names
                )
                table.insert(0, "way", samples.method)
                table.insert(1, "step", step)
                tables.append(table)
            if samples.method != TEST_IMAGES:
                path, source = f"samples/{name}_{samples.method}", f"{subject.measured.label}, judge {judge.label}"
                figure, shown = _show(samples, judged, train, class_names, source)
                result.figures[f"{path}.png"], result.arrays[f"{path}.npz"] = figure, shown
    result.tables[f"tables/{name}.json"] = pd.concat(tables, ignore_index=True)
    result.metrics.update(_list_metrics(result.tables[f"tables/{name}.json"]))
    return result


def summarise(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Choose the columns of the command's table: agreement of the best and the worst method."""
    agreements = [
        value for key, value in metrics.items() if key.endswith("_agreement") and not key.startswith(TEST_IMAGES)
    ]
    return {"best agreement": max(agreements), "worst agreement": min(agreements)} if agreements else {}


def choose_methods(chosen: str | Sequence[str], measured: LoadedModel) -> list[str]:
    """Choose the methods that are asked for, or all that the model is capable of.

    Raises:
        RunError: the model has no decoder, or is not capable of one that is asked for.
    """
    possible = _list_possible(measured)
    if isinstance(chosen, str):
        return possible
    if impossible := [method for method in chosen if method not in possible]:
        raise RunError(
            f"run {measured.run_id}: its model can't do measure.synthesis.ways={' '.join(impossible)}; choose from "
            f"{' '.join(possible)}"
        )
    return list(chosen)


def _list_possible(measured: LoadedModel) -> list[str]:
    if len(measured.model.inputs) > 1:
        return ["conditional_decoder"]
    is_flat = measured.get_half("decoder").input_shape[1:] == (2,)
    impossible = {"conditional_decoder"} if is_flat else {"conditional_decoder", "random_codes"}
    return [method for method in _METHODS if method not in impossible]


def _interpolate(generator: _Generator, rng: np.random.Generator) -> list[_Samples]:
    """4D-1: interpolate between two images of a class, and of two classes."""
    made = []
    for method, other in (("interpolation_within", False), ("interpolation_between", True)):
        first, second = generator.choose_of_each(rng), generator.choose_of_each(rng, other)
        fractions = rng.random(len(first), dtype=np.float32)
        latents = interpolate_latents(generator.latents[first], generator.latents[second], fractions)
        intended = choose_nearer(generator.labels[first], generator.labels[second], fractions)
        made.append(_Samples(method, intended, [generator.decode(latents)]))
    return made


def _salt(generator: _Generator, rng: np.random.Generator) -> list[_Samples]:
    """4D-2: decode noisy latents, and pass the images through the autoencoder once more."""
    chosen = generator.choose_of_each(rng)
    latents = salt_latents(generator.latents[chosen], generator.config.salt_level, rng)
    return [_Samples("salted_codes", generator.labels[chosen], generator.sharpen(generator.decode(latents), 1))]


def _decode_uniform(generator: _Generator, rng: np.random.Generator) -> list[_Samples]:
    """4D-3: decode uniform latents of two units, sharpened once and twice.

    The intended label is that of the nearest training latent.
    """
    latents = sample_uniform_latents(generator.latents, generator.n_samples, rng)
    intended = label_by_nearest(latents, generator.latents, generator.labels)
    return [_Samples("random_codes", intended, generator.sharpen(generator.decode(latents), 2))]


def _decode_noise(generator: _Generator, rng: np.random.Generator) -> list[_Samples]:
    """4D-5: decode noise; its level read as the probability to replace a unit, and, as was printed, to keep it."""
    level = generator.config.noise_level
    zeros = np.zeros((generator.n_samples, generator.latents.shape[1]), np.float32)
    return [
        _Samples(f"noise_codes_{reading}", None, [generator.decode(add_salt_and_pepper(zeros, replaced, rng))])
        for reading, replaced in (("corrupted", level), ("kept", 1 - level))
    ]


def _decode_mixtures(generator: _Generator, rng: np.random.Generator) -> list[_Samples]:
    """Decode latents from a Gaussian mixture of each class."""
    labels, n = np.unique(generator.labels), generator.config.samples
    options = generator.config.mixture.model_dump()
    latents = [
        sample_mixture_latents(generator.latents[generator.labels == label], n, **options, rng=rng) for label in labels
    ]
    images = generator.decode(np.concatenate(latents))
    return [_Samples("gaussian_mixture", np.repeat(labels, n), generator.sharpen(images, 1))]


def _decode_classes(generator: _Generator, rng: np.random.Generator) -> list[_Samples]:
    """4D-4: decode latents from N(0, I), each with a class."""
    measured, n_classes = generator.subject.measured, generator.subject.data_set.n_classes
    decoder = measured.get_half("decoder")
    intended = np.repeat(np.arange(n_classes), generator.config.samples)
    latents = rng.standard_normal((len(intended), decoder.input_shape[0][1]), dtype=np.float32)
    classes = np.eye(n_classes, dtype=np.float32)[intended]
    return [_Samples("conditional_decoder", intended, [predict(decoder, (latents, classes), measured.batch_size)])]


# How images are made; the places key the methods' random numbers, so that a new one comes last.
_METHODS: dict[str, Callable[[_Generator, np.random.Generator], list[_Samples]]] = {
    "interpolation": _interpolate,
    "salted_codes": _salt,
    "random_codes": _decode_uniform,
    "noise_codes": _decode_noise,
    "gaussian_mixture": _decode_mixtures,
    "conditional_decoder": _decode_classes,
}


def _choose_real(test: Images, config: Config) -> Images:
    """Choose test images, as many of each label as samples are wanted, or all there are."""
    rng = np.random.default_rng([config.seed, _TEST_IMAGES_KEY])
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(test.labels == label))[: config.samples] for label in np.unique(test.labels)]
    )
    return Images(test.images[chosen], test.labels[chosen])


def _show(
    samples: _Samples, steps: Sequence[_Judged], train: FloatArray, class_names: Sequence[str], source: str
) -> tuple[Figure, dict[str, FloatArray | IntArray]]:
    """Draw the first samples of each label, each step and the nearest training image of the last; with the arrays."""
    each = _COLUMNS // (len(samples.steps) + 1)
    intended = np.full(len(samples.steps[0]), -1) if samples.intended is None else samples.intended
    labels = np.unique(intended)
    rows = [np.flatnonzero(intended == label)[:each] for label in labels[:_SHOWN_CLASSES]]
    if samples.intended is None:
        rows = [np.arange(start, start + each) for start in range(0, min(len(intended), 3 * each), each)]
    shown = np.concatenate(rows)
    arrays = {
        "made": np.stack([images[shown] for images in samples.steps]),
        "nearest": np.stack([train[nearest[shown]] for _, _, nearest in steps]),
        "intended": intended[shown],
        "judged": np.stack([probabilities[shown].argmax(axis=1) for probabilities, _, _ in steps]),
        "nearest_distance": np.stack([distances[shown] for _, distances, _ in steps]),
    }
    more = f", the first {_SHOWN_CLASSES} of {len(labels)} classes" if len(labels) > _SHOWN_CLASSES else ""
    title, nearest = f"{WAYS[samples.method]}: {source}{more}", arrays["nearest"][-1]
    figure = plot_beside_nearest(
        arrays["made"], nearest, arrays["intended"], arrays["judged"], class_names, title, each
    )
    return figure, arrays


def _list_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Name the metrics `gaussian_mixture_agreement`, `gaussian_mixture_sharpened_1_agreement`, …; leave out NaN."""
    metrics = {}
    for row in table[table["digit"] == ALL].to_dict("records"):
        prefix = row["way"] + (f"_sharpened_{row['step']}" if row["step"] else "")
        for column in ("agreement", "confidence", "diversity", "nearest_distance"):
            if np.isfinite(row[column]):
                metrics[f"{prefix}_{column}"] = float(row[column])
    return metrics
