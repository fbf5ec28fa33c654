"""A classifier behind a denoiser: its accuracy on noisy images, and on the same images denoised (report 002-4C)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field

from mnist_flow.config.evaluate import PartnerConfig
from mnist_flow.config.section import Count, Fraction, OptionSection, Seed
from mnist_flow.evaluation.subject import EvaluationResult, Subject
from mnist_flow.figures import MOST_SHOWN, plot_image_rows
from mnist_flow.metrics.classification import choose_one_of_each, evaluate_predictions
from mnist_flow.metrics.reconstruction import DENOISED, MEDIAN, NOISY, compute_psnr, compute_ssim, filter_median
from mnist_flow.metrics.robustness import list_gaussian, list_salt_and_pepper

TASKS = ("classification",)
PARTNER_TASKS = {"denoiser": "reconstruction"}
# Of each kind of noise, the table's column of the noise level, and what lists the conditions.
_NOISES = {"salt_and_pepper": ("level", list_salt_and_pepper), "gaussian": ("stddev", list_gaussian)}


class Config(OptionSection):
    noise: Literal["salt_and_pepper", "gaussian"]
    levels: Annotated[list[Fraction], Field(min_length=1)]
    draws: Count
    seed: Seed
    quality_images: Count
    shown_levels: Annotated[list[Fraction], Field(min_length=1)]
    denoiser: PartnerConfig


def measure(name: str, config: Config, subject: Subject) -> EvaluationResult:
    """Measure the classifier on noisy, median-filtered and denoised test images, and the images themselves.

    Returns:
        Table `denoising`: three rows a noise level and draw. level or stddev, draw, input (noisy, median_3x3,
        denoised), denoiser (label of its model; empty where it has no part), n, accuracy, standard_error (binomial),
        macro_recall (the mean over the classes), cross_entropy (nats), a column `recall_{class name}` for each class,
        and of the first `quality_images` images psnr (dB) and ssim. Metrics: macro recalls at each noise level, means
        over the draws. `samples/denoised.npz` holds one test image of each class: original, float32 (classes, height,
        width, channels), levels, noisy and denoised, (levels, classes, height, width, channels), and the denoiser's
        label.
    """
    classifier, denoiser, test = subject.measured, subject.partners["denoiser"], subject.data_set.test
    column, list_noise = _NOISES[config.noise]
    few = slice(config.quality_images)
    rows = []
    for condition in list_noise(config.levels, config.draws, config.seed):
        noisy = condition.transform(test.images)
        for method, x in ((NOISY, noisy), (MEDIAN, filter_median(noisy)), (DENOISED, denoiser.predict(noisy))):
            result = evaluate_predictions(classifier.predict(x), test.labels)
            recalls = zip(subject.data_set.class_names, result.recalls, strict=True)
            rows.append(
                {
                    **condition.columns,
                    "input": method,
                    "denoiser": denoiser.label if method == DENOISED else "",
                    **result.list_measures(),
                    **{f"recall_{class_name}": float(recall) for class_name, recall in recalls},
                    "psnr": compute_psnr(test.images[few], x[few]),
                    "ssim": compute_ssim(test.images[few], x[few]),
                }
            )
    table = pd.DataFrame(rows)
    metrics = {
        f"{method}_macro_recall_at_{column}_{level:g}": float(recalls.mean())
        for (method, level), recalls in table.groupby(["input", column])["macro_recall"]
    }
    return EvaluationResult(metrics, {f"tables/{name}.json": table}, *_draw_samples(config, subject))


def summarise(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Choose the columns of the command's table: macro recalls at the noise level nearest to one half."""
    levels = {float(key.rpartition("_")[2]) for key in metrics}
    middle = min(levels, key=lambda level: abs(level - 0.5))
    return {
        f"{method} recall at {middle:g}": value
        for method in (NOISY, DENOISED)
        for key, value in metrics.items()
        if key.startswith(f"{method}_") and key.endswith(f"_{middle:g}")
    }


def _draw_samples(config: Config, subject: Subject) -> tuple[dict[str, Figure], dict[str, Mapping[str, np.ndarray]]]:
    """Draw one test image of each class at the levels to be shown; returns the figure, and the images themselves."""
    column, list_noise = _NOISES[config.noise]
    denoiser, test = subject.partners["denoiser"], subject.data_set.test
    original = test.images[choose_one_of_each(test.labels, MOST_SHOWN)]
    noisy = [one.transform(original) for one in list_noise(config.shown_levels, 1, config.seed)]
    denoised = [denoiser.predict(x) for x in noisy]
    rows = [("original", original)]
    for level, before, after in zip(config.shown_levels, noisy, denoised, strict=True):
        rows += [(f"{column} {level:g}: {NOISY}", before), (DENOISED, after)]
    arrays = {
        "denoiser": np.array(denoiser.label),
        "original": original,
        "levels": np.array(config.shown_levels, dtype=np.float32),
        "noisy": np.stack(noisy),
        "denoised": np.stack(denoised),
    }
    figure = plot_image_rows(rows, f"{denoiser.label}: test images")
    return {"samples/denoised.png": figure}, {"samples/denoised.npz": arrays}
