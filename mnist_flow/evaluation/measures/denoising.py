"""A classifier behind a denoiser: what it finds on noisy images, and on the same images denoised (report 002-4C)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field

from mnist_flow.config.evaluate import PartnerConfig
from mnist_flow.config.section import Count, Fraction, OptionSection, Seed
from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.evaluation.subject import Outcome, Subject
from mnist_flow.figures import plot_image_rows
from mnist_flow.metrics.classification import choose_one_of_each, evaluate_predictions
from mnist_flow.metrics.reconstruction import DENOISED, MEDIAN, NOISY, compute_psnr, compute_ssim, filter_median
from mnist_flow.metrics.robustness import list_gaussian, list_salt_and_pepper

_NOISES = {"salt_and_pepper": ("level", list_salt_and_pepper), "gaussian": ("stddev", list_gaussian)}


# What the measured model may be for.
TASKS = ("classification",)
# What the other models that take part are for, by their key in the config.
PARTNER_TASKS = {"denoiser": "reconstruction"}


class Config(OptionSection):
    noise: Literal["salt_and_pepper", "gaussian"]
    levels: Annotated[list[Fraction], Field(min_length=1)]
    draws: Count
    seed: Seed
    quality_images: Count
    shown_levels: Annotated[list[Fraction], Field(min_length=1)]
    denoiser: PartnerConfig


def measure(name: str, settings: Config, subject: Subject) -> Outcome:
    """Measure the classifier on noisy, median-filtered and denoised test images, and the images themselves.

    Returns:
        Table `denoising`: three rows a strength and draw. level or stddev, draw, input (noisy, median_3x3, denoised),
        denoiser (its model and noise; empty where it has no part), n, accuracy, standard_error (binomial),
        macro_recall (the mean over the digits), recall_0 … recall_9, cross_entropy (nats), and of the first
        `quality_images` images psnr (dB) and ssim. Metrics: macro recalls at each strength, means over the draws.
        `samples/denoised.npz` holds one test image of each digit: original, float32 (10, 28, 28, 1), levels, noisy and
        denoised, (levels, 10, 28, 28, 1), and what the denoiser is called.
    """
    classifier, denoiser, test = subject.measured, subject.partners["denoiser"], subject.data_set.test
    column, list_noise = _NOISES[settings.noise]
    few = slice(settings.quality_images)
    rows = []
    for condition in list_noise(settings.levels, settings.draws, settings.seed):
        noisy = condition.transform(test.images)
        for which, images in ((NOISY, noisy), (MEDIAN, filter_median(noisy)), (DENOISED, denoiser.predict(noisy))):
            rows.append(
                {
                    **condition.columns,
                    "input": which,
                    "denoiser": denoiser.label if which == DENOISED else "",
                    **_describe(classifier.predict(images), test.labels),
                    "psnr": compute_psnr(test.images[few], images[few]),
                    "ssim": compute_ssim(test.images[few], images[few]),
                }
            )
    table = pd.DataFrame(rows)
    metrics = {
        f"{which}_macro_recall_at_{column}_{strength:g}": float(
            table.loc[(table["input"] == which) & (table[column] == strength), "macro_recall"].mean()
        )
        for which in (NOISY, MEDIAN, DENOISED)
        for strength in settings.levels
    }
    return Outcome(metrics, {f"tables/{name}.json": table}, *_draw_strip(settings, subject))


def _draw_strip(settings: Config, subject: Subject) -> tuple[dict[str, Figure], dict[str, Mapping[str, np.ndarray]]]:
    """One test image of each digit at the levels to be shown: a figure, and the images themselves."""
    column, list_noise = _NOISES[settings.noise]
    denoiser, test = subject.partners["denoiser"], subject.data_set.test
    original = test.images[choose_one_of_each(test.labels)]
    noisy = [one.transform(original) for one in list_noise(settings.shown_levels, 1, settings.seed)]
    denoised = [denoiser.predict(images) for images in noisy]
    rows = [("original", original)]
    for strength, before, after in zip(settings.shown_levels, noisy, denoised, strict=True):
        rows += [(f"{column} {strength:g}: {NOISY}", before), (DENOISED, after)]
    arrays = {
        "denoiser": np.array(denoiser.label),
        "original": original,
        "levels": np.array(settings.shown_levels, dtype=np.float32),
        "noisy": np.stack(noisy),
        "denoised": np.stack(denoised),
    }
    figure = plot_image_rows(rows, f"{denoiser.label}: test images")
    return {"samples/denoised.png": figure}, {"samples/denoised.npz": arrays}


def summarise(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """The columns of the command's table: macro recalls at the strength nearest to one half."""
    strengths = {float(key.rpartition("_")[2]) for key in metrics}
    middle = min(strengths, key=lambda strength: abs(strength - 0.5))
    return {
        f"{which} recall at {middle:g}": value
        for which in (NOISY, DENOISED)
        for key, value in metrics.items()
        if key.startswith(f"{which}_") and key.endswith(f"_{middle:g}")
    }


def _describe(probabilities: FloatArray, labels: IntArray) -> dict[str, float]:
    evaluation = evaluate_predictions(probabilities, labels)
    recalls = {f"recall_{digit}": float(recall) for digit, recall in enumerate(evaluation.recalls)}
    return {**evaluation.list_measures(), **recalls}
