"""Digits made in the ways of reports 002-4D and 003-4D, and in one that works, judged by a classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from threadpoolctl import threadpool_limits

from mnist_flow.config.evaluate import OptionalPartnerConfig, PartnerConfig
from mnist_flow.config.section import Count, Fraction, OptionSection, Section, Seed
from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.data.dataset import Images
from mnist_flow.data.noise.salt_and_pepper import add_noise as add_salt_and_pepper
from mnist_flow.errors import RunError
from mnist_flow.evaluation.subject import LoadedModel, Outcome, Subject
from mnist_flow.figures import plot_beside_nearest
from mnist_flow.metrics.synthesis import (
    ALL,
    TEST_IMAGES,
    WAYS,
    NearestImages,
    choose_nearer,
    draw_mixture_codes,
    draw_uniform_codes,
    interpolate_codes,
    label_by_nearest,
    measure_samples,
    salt_codes,
)
from mnist_flow.models.prediction import predict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Images in a row of a figure, the nearest ones included.
_COLUMNS = 12
# Key of the random numbers that choose the real images; those of the ways are their places in the config's list.
_OF_TEST_IMAGES = 2**16


Way = Literal["interpolation", "salted_codes", "random_codes", "noise_codes", "gaussian_mixture", "conditional_decoder"]


# What the measured model may be for.
TASKS = ("reconstruction", "generation")
# What the other models that take part are for, by their key in the config.
PARTNER_TASKS = {"judge": "classification", "sharpener": "reconstruction"}


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
    """What one way made."""

    way: str
    # The digit that each was made as, int64 (n,); None: none was meant.
    intended: IntArray | None
    # float32 (n, 28, 28, 1): as decoded, passed through the sharpener once, twice.
    steps: list[FloatArray]


@dataclass(frozen=True)
class _Workshop:
    """What the ways need: an autoencoder, and the codes of the training images."""

    settings: Config
    autoencoder: LoadedModel
    sharpener: LoadedModel
    codes: FloatArray  # float32 (m, d)
    labels: IntArray  # int64 (m,)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    def decode(self, codes: FloatArray) -> FloatArray:
        decoder = self.autoencoder.get_half("decoder")
        shaped = codes.astype(np.float32).reshape(len(codes), *decoder.input_shape[1:])
        return predict(decoder, shaped, self.autoencoder.batch_size)

    def sharpen(self, images: FloatArray, times: int) -> list[FloatArray]:
        """The images, and what the sharpener makes of them, each time of the last."""
        steps = [images]
        for _ in range(times):
            steps.append(self.sharpener.predict(steps[-1]))
        return steps

    def draw_of_each(self, rng: np.random.Generator, other: bool = False) -> IntArray:
        """Indices of training images: so many of each digit as samples are wanted, or as many of any other digit."""
        return np.concatenate(
            [
                rng.choice(np.flatnonzero((self.labels == digit) != other), self.settings.samples)
                for digit in np.unique(self.labels)
            ]
        )


def measure(name: str, settings: Config, subject: Subject) -> Outcome:
    """Make digits in every way that the model can do, and measure them.

    Returns:
        Table `synthesis`: way, step (how often an image was passed through the sharpener), and the columns of
        `synthesis.measure_samples`; the way `test_images` are real ones, for comparison. Metrics: those of all digits,
        by way, step and measure. For each way a figure and the arrays that it shows: made and nearest, float32
        (steps, n, 28, 28, 1), intended (n,), -1 for none, judged and nearest_distance (steps, n).

    Raises:
        RunError: the model has no encoder or decoder, or can't do a way that was asked for.
    """
    ways = choose_ways(settings.ways, subject.measured)
    train, judge = subject.data_set.train, subject.partners["judge"]
    # Else the last bits would depend on the cores, and linear algebra would compete with TensorFlow for them.
    with threadpool_limits(limits=1):
        made = _make(ways, settings, subject)
        real = _choose_real(subject.data_set.test, settings)
        search = NearestImages(train.images)
        tables: list[pd.DataFrame] = []
        figures: dict[str, Figure] = {}
        arrays: dict[str, Mapping[str, FloatArray | IntArray]] = {}
        for samples in [_Samples(TEST_IMAGES, real.labels, [real.images]), *made]:
            found = []
            for step, images in enumerate(samples.steps):
                probabilities = judge.predict(images)
                distances, indices = search.find(images)
                found.append((probabilities.argmax(axis=1), distances, indices))
                about = measure_samples(
                    images, samples.intended, probabilities, distances, real.images, real.labels
                ).assign(way=samples.way, step=step)
                tables.append(about[["way", "step", *about.columns[:-2]]])
            if samples.way != TEST_IMAGES:
                source = f"{subject.measured.label}, judge {judge.label}"
                figure, shown = _show(samples, found, train.images, subject.data_set.class_names, source)
                figures[f"samples/{name}_{samples.way}.png"] = figure
                arrays[f"samples/{name}_{samples.way}.npz"] = shown
    table = pd.concat(tables, ignore_index=True)
    return Outcome(_list_metrics(table), {f"tables/{name}.json": table}, figures, arrays)


def summarise(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """The columns of the command's table: agreement of the best and the worst way."""
    agreements = [
        value for key, value in metrics.items() if key.endswith("_agreement") and not key.startswith(TEST_IMAGES)
    ]
    return {"best agreement": max(agreements), "worst agreement": min(agreements)} if agreements else {}


def choose_ways(chosen: str | Sequence[str], measured: LoadedModel) -> list[str]:
    """The ways that are asked for, or all that the model can do.

    Raises:
        RunError: the model has no decoder, or can't do one that is asked for.
    """
    possible = _list_possible(measured)
    if isinstance(chosen, str):
        return possible
    if impossible := [way for way in chosen if way not in possible]:
        raise RunError(
            f"run {measured.run_id}: its model can't do measure.synthesis.ways={' '.join(impossible)}; choose from "
            f"{' '.join(possible)}"
        )
    return list(chosen)


def _list_possible(measured: LoadedModel) -> list[str]:
    if len(measured.model.inputs) > 1:
        return ["conditional_decoder"]
    flat = measured.get_half("decoder").input_shape[1:]
    return [way for way in _WAYS if way != "random_codes" or flat == (2,)]


def _make(ways: Sequence[str], settings: Config, subject: Subject) -> list[_Samples]:
    measured, train = subject.measured, subject.data_set.train
    if ways == ["conditional_decoder"]:
        return [_decode_classes(settings, measured)]
    workshop = _Workshop(
        settings,
        measured,
        subject.partners.get("sharpener", measured),
        measured.encode(train.images),
        train.labels,
    )
    numbers = {way: number for number, way in enumerate(_WAYS)}
    return [
        samples
        for way in ways
        for samples in _WAYS[way](workshop, np.random.default_rng([settings.seed, numbers[way]]))
    ]


def _decode_classes(settings: Config, measured: LoadedModel) -> _Samples:
    """4D-4: a class and N(0, I) to an image."""
    decoder = measured.get_half("decoder")
    n_classes = decoder.input_shape[1][1]
    intended = np.repeat(np.arange(n_classes), settings.samples)
    rng = np.random.default_rng([settings.seed, len(_WAYS)])
    codes = rng.standard_normal((len(intended), decoder.input_shape[0][1]), dtype=np.float32)
    classes = np.eye(n_classes, dtype=np.float32)[intended]
    return _Samples("conditional_decoder", intended, [predict(decoder, (codes, classes), measured.batch_size)])


def _interpolate(workshop: _Workshop, rng: np.random.Generator) -> list[_Samples]:
    """4D-1, within one class and between two."""
    made = []
    for way, other in (("interpolation_within", False), ("interpolation_between", True)):
        first, second = workshop.draw_of_each(rng), workshop.draw_of_each(rng, other)
        shares = rng.random(len(first), dtype=np.float32)
        codes = interpolate_codes(workshop.codes[first], workshop.codes[second], shares)
        intended = choose_nearer(workshop.labels[first], workshop.labels[second], shares)
        made.append(_Samples(way, intended, [workshop.decode(codes)]))
    return made


def _salt(workshop: _Workshop, rng: np.random.Generator) -> list[_Samples]:
    """4D-2: decoded, and passed through the autoencoder once more."""
    chosen = workshop.draw_of_each(rng)
    codes = salt_codes(workshop.codes[chosen], workshop.settings.salt_level, rng)
    return [_Samples("salted_codes", workshop.labels[chosen], workshop.sharpen(workshop.decode(codes), 1))]


def _draw_randomly(workshop: _Workshop, rng: np.random.Generator) -> list[_Samples]:
    """4D-3: of two random numbers, sharpened once and twice. Meant is what the nearest training code is."""
    codes = draw_uniform_codes(workshop.codes, workshop.n_classes * workshop.settings.samples, rng)
    intended = label_by_nearest(codes, workshop.codes, workshop.labels)
    return [_Samples("random_codes", intended, workshop.sharpen(workshop.decode(codes), 2))]


def _decode_noise(workshop: _Workshop, rng: np.random.Generator) -> list[_Samples]:
    """4D-5 under both readings of its level; the printed code gives the probability of keeping a number."""
    level = workshop.settings.noise_level
    zeros = np.zeros((workshop.n_classes * workshop.settings.samples, workshop.codes.shape[1]), np.float32)
    return [
        _Samples(f"noise_codes_{reading}", None, [workshop.decode(add_salt_and_pepper(zeros, replaced, rng))])
        for reading, replaced in (("corrupted", level), ("kept", 1 - level))
    ]


def _draw_from_mixtures(workshop: _Workshop, rng: np.random.Generator) -> list[_Samples]:
    """From a Gaussian mixture for each class."""
    digits, n = np.unique(workshop.labels), workshop.settings.samples
    options = workshop.settings.mixture.model_dump()
    codes = [draw_mixture_codes(workshop.codes[workshop.labels == digit], n, **options, rng=rng) for digit in digits]
    images = workshop.decode(np.concatenate(codes))
    return [_Samples("gaussian_mixture", np.repeat(digits, n), workshop.sharpen(images, 1))]


# How an autoencoder makes digits, in the order of the reports; the places key their random numbers.
_WAYS: dict[str, Callable[[_Workshop, np.random.Generator], list[_Samples]]] = {
    "interpolation": _interpolate,
    "salted_codes": _salt,
    "random_codes": _draw_randomly,
    "noise_codes": _decode_noise,
    "gaussian_mixture": _draw_from_mixtures,
}


def _choose_real(test: Images, settings: Config) -> Images:
    """Test images, as many of each digit as samples are wanted, or all there are."""
    rng = np.random.default_rng([settings.seed, _OF_TEST_IMAGES])
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(test.labels == digit))[: settings.samples] for digit in np.unique(test.labels)]
    )
    return Images(test.images[chosen], test.labels[chosen])


def _show(
    samples: _Samples,
    found: Sequence[tuple[IntArray, FloatArray, IntArray]],
    train: FloatArray,
    class_names: Sequence[str],
    source: str,
) -> tuple[Figure, dict[str, FloatArray | IntArray]]:
    """The first samples of each digit, each step and the nearest training image of the last; and the arrays shown."""
    each = _COLUMNS // (len(samples.steps) + 1)
    intended = np.full(len(samples.steps[0]), -1) if samples.intended is None else samples.intended
    rows = [np.flatnonzero(intended == digit)[:each] for digit in np.unique(intended)]
    if samples.intended is None:
        rows = [np.arange(start, start + each) for start in range(0, min(len(intended), 3 * each), each)]
    shown = np.concatenate(rows)
    judged = np.stack([one[shown] for one, _, _ in found])
    nearest = np.stack([train[indices[shown]] for _, _, indices in found])
    made = np.stack([images[shown] for images in samples.steps])
    title = f"{WAYS[samples.way]}: {source}"
    figure = plot_beside_nearest(made, nearest[-1], intended[shown], judged, class_names, title, each)
    return figure, {
        "made": made,
        "nearest": nearest,
        "intended": intended[shown],
        "judged": judged,
        "nearest_distance": np.stack([distances[shown] for _, distances, _ in found]),
    }


def _list_metrics(table: pd.DataFrame) -> dict[str, float]:
    """`gaussian_mixture_agreement`, `gaussian_mixture_sharpened_1_agreement`, …; what is NaN is left out."""
    metrics = {}
    for row in table[table["digit"] == ALL].to_dict("records"):
        prefix = row["way"] + (f"_sharpened_{row['step']}" if row["step"] else "")
        for column in ("agreement", "confidence", "diversity", "nearest_distance"):
            if np.isfinite(row[column]):
                metrics[f"{prefix}_{column}"] = float(row[column])
    return metrics
