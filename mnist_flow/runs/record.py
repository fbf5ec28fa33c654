"""What a run logs: what it starts from, and what it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from mnist_flow.config.train import TrainConfig
from mnist_flow.data.dataset import DatasetInfo, Splits
from mnist_flow.data.loading import N_CLASSES
from mnist_flow.data.noise import choose_corruption, describe_noise
from mnist_flow.figures import plots as figures
from mnist_flow.metrics.classification import (
    choose_one_of_each,
    compute_per_class,
    evaluate_predictions,
    find_misclassified,
)
from mnist_flow.metrics.reconstruction import (
    compute_binary_cross_entropy,
    compute_psnr,
    compute_quality,
    compute_ssim,
    measure_reconstruction,
)
from mnist_flow.metrics.robustness import list_noise_conditions
from mnist_flow.models.inspection import list_layers
from mnist_flow.models.prediction import predict
from mnist_flow.models.subpixel import moves_pixels
from mnist_flow.runtime import environment
from mnist_flow.training.loop import (
    TrainingResult,
    compute_code_divergence,
    corrupt_measured,
    describe_devices,
    one_hot,
)

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from mnist_flow.tracking import TrackedRun

# Images of each class in a figure of samples.
_SAMPLES = 10
_LOSS_NAMES = {
    "classification": "loss (cross-entropy + L2 penalty)",
    "reconstruction": "loss (binary cross-entropy of the pixels)",
    "generation": "loss (cross-entropy + code divergence, nats an image)",
}
_VALIDATION_NAMES = {"holdout": "validation (held out)", "test": "validation (= test set)"}


def log_inputs(cfg: DictConfig, config: TrainConfig, info: DatasetInfo, splits: Splits, run: TrackedRun) -> None:
    """What the run starts from: params, config, environment, code and data."""
    run.log_params(config.list_params())
    code = environment.describe_code()
    texts = {
        "config/config.yaml": OmegaConf.to_yaml(cfg, resolve=True),
        "environment/packages.txt": "\n".join(environment.list_packages()) + "\n",
    }
    if HydraConfig.initialized():
        hydra = HydraConfig.get()
        texts["config/overrides.yaml"] = OmegaConf.to_yaml(hydra.overrides.task)
        texts["config/hydra.yaml"] = OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra}))
    if code.get("diff"):
        texts["environment/uncommitted.diff"] = code["diff"]
    run.log_artifacts(
        texts=texts,
        records={
            "environment/machine.json": {**environment.describe_machine(), **describe_devices()},
            "environment/git.json": {key: value for key, value in code.items() if key != "diff"},
        },
    )
    run.log_data_set(info, {"training": splits.train, "validation": splits.validation, "test": splits.test})


def log_classifier(
    config: TrainConfig, model: keras.Model, splits: Splits, result: TrainingResult, run: TrackedRun
) -> dict[str, float]:
    """Measure a trained classifier on the test images and log metrics, figures, tables, predictions and the model.

    Returns:
        The final metrics.
    """
    test = splits.test
    probabilities = predict(model, test.images, config.evaluation.batch_size)
    predicted = probabilities.argmax(axis=1)
    l2_penalty = float(sum(np.asarray(penalty) for penalty in model.losses))
    evaluation = evaluate_predictions(probabilities, test.labels, l2_penalty)
    metrics = {
        "test_loss": evaluation.loss,
        "test_cross_entropy": evaluation.cross_entropy,
        "test_l2_penalty": evaluation.l2_penalty,
        "test_accuracy": evaluation.accuracy,
        "test_accuracy_standard_error": evaluation.standard_error,
        **_describe_training(model, result),
    }
    run.log_metrics(metrics)
    wrong = find_misclassified(probabilities, test.labels, config.evaluation.misclassified)
    n_wrong = int(np.sum(predicted != test.labels))
    score = f"{config.model.name}, {config.data.name} test set: {n_wrong:,} of {evaluation.n:,} misclassified"
    run.log_artifacts(
        figures={
            "confusion_matrix/counts.png": figures.plot_confusion_matrix(evaluation.confusion, score),
            "confusion_matrix/row_normalised.png": figures.plot_confusion_matrix(
                evaluation.confusion, score, normalize=True
            ),
            "samples/misclassified.png": figures.plot_misclassified(
                test.images[wrong],
                test.labels[wrong],
                predicted[wrong],
                probabilities[wrong, predicted[wrong]],
                f"{score}\nthe {len(wrong)} most confident mistakes: digit, prediction and its probability",
            ),
            **_draw_training(config, model, result),
        },
        records={
            "confusion_matrix/confusion_matrix.json": {
                "rows": "true digit",
                "columns": "predicted digit",
                "counts": evaluation.confusion.tolist(),
            }
        },
        texts={"model_diagram/summary.txt": _summarise(model)},
        arrays={"predictions/test.npz": {"probabilities": probabilities, "labels": test.labels}},
        tables={"tables/per_class.json": compute_per_class(test.labels, predicted)},
    )
    if config.tracking.log_model:
        run.log_model(model, test.images[:5], probabilities[:5])
    return metrics


def log_denoiser(
    config: TrainConfig, model: keras.Model, splits: Splits, result: TrainingResult, run: TrackedRun
) -> dict[str, float]:
    """Measure a trained autoencoder on the test images and log metrics, figures, the table of qualities and the model.

    The test loss is that of images with the noise of the training; PSNR and SSIM are those of images with each of
    `evaluation.noise_levels`, and `test_psnr` and `test_ssim` again with the noise of the training.

    Returns:
        The final metrics.
    """
    clean, options = splits.test.images, config.evaluation
    noisy = corrupt_measured(clean, choose_corruption(config.noise), "test")
    denoised = predict(model, noisy, options.batch_size)
    few = slice(options.quality_images)
    conditions, column = list_noise_conditions(config.noise, options.noise_levels)
    table = measure_reconstruction(conditions, clean[few], lambda images: predict(model, images, options.batch_size))
    metrics = {
        "test_loss": compute_binary_cross_entropy(clean, denoised),
        "test_psnr": compute_psnr(clean[few], denoised[few]),
        "test_ssim": compute_ssim(clean[few], denoised[few]),
        **compute_quality(table, column),
        **_describe_training(model, result),
    }
    run.log_metrics(metrics)
    shown = choose_one_of_each(splits.test.labels)
    rows = [("original", clean[shown])]
    for condition in conditions:
        seasoned = condition.transform(clean[shown])
        where = f"{column} {condition.columns[column]:g}"
        rows += [(f"{where}: noisy", seasoned), ("denoised", predict(model, seasoned, options.batch_size))]
    run.log_artifacts(
        figures={
            "samples/levels.png": figures.plot_image_rows(rows, f"{config.model.name}, {config.data.name} test set"),
            **draw_samples(config, model, splits, "samples/reconstruction.png", result.selected_epoch),
            **_draw_training(config, model, result),
        },
        texts={"model_diagram/summary.txt": _summarise(model)},
        tables={"tables/reconstruction.json": table},
    )
    if config.tracking.log_model:
        run.log_model(model, noisy[:5], denoised[:5])
    return metrics


def log_generator(
    config: TrainConfig, model: keras.Model, splits: Splits, result: TrainingResult, run: TrackedRun
) -> dict[str, float]:
    """Measure a trained conditional variational autoencoder on the test images and log metrics, figures and the model.

    The test loss is the mean over the images, in nats, of its two parts, which are logged too: `test_cross_entropy` of
    the pixels, and `test_code_divergence`. The codes are their means, as in validation.

    Returns:
        The final metrics.
    """
    test, batch_size = splits.test, config.evaluation.batch_size
    inputs = test.images, one_hot(test)
    drawn = predict(model, inputs, batch_size)
    cross_entropy = drawn[0].size * compute_binary_cross_entropy(test.images, drawn)
    mean, log_stddev = model.get_layer("encoder").predict(inputs, batch_size=batch_size, verbose=0)
    divergence = float(np.mean(compute_code_divergence(mean, log_stddev)))
    metrics = {
        "test_loss": cross_entropy + divergence,
        "test_cross_entropy": cross_entropy,
        "test_code_divergence": divergence,
        **_describe_training(model, result),
    }
    run.log_metrics(metrics)
    run.log_artifacts(
        figures={
            **draw_samples(config, model, splits, "samples/generated.png", result.selected_epoch),
            **_draw_training(config, model, result),
        },
        texts={"model_diagram/summary.txt": _summarise(model)},
    )
    if config.tracking.log_model:
        example = dict(zip(("images", "classes"), (part[:5] for part in inputs), strict=True))
        run.log_model(model, example, drawn[:5])
    return metrics


def draw_samples(config: TrainConfig, model: keras.Model, splits: Splits, path: str, epoch: int) -> dict[str, Figure]:
    """What a network draws after an epoch: denoised validation images, or new ones of each class; by the path given."""
    if config.task == "generation":
        return {path: _plot_generated(config, model, epoch)}
    return {path: _plot_reconstructions(config, model, splits, epoch)}


def _plot_generated(config: TrainConfig, model: keras.Model, epoch: int) -> Figure:
    """A row a class; the random input of a column is the same for all, in every run and epoch."""
    decoder = model.get_layer("decoder")
    codes = np.random.default_rng(0).standard_normal((_SAMPLES, decoder.input_shape[0][1]), dtype=np.float32)
    rows = []
    for digit in range(N_CLASSES):
        classes = np.tile(np.eye(N_CLASSES, dtype=np.float32)[digit], (_SAMPLES, 1))
        rows.append((f"class {digit}", predict(decoder, (codes, classes))))
    title = f"{config.model.name} after epoch {epoch}: one random input a column"
    return figures.plot_image_rows(rows, title)


def _plot_reconstructions(config: TrainConfig, model: keras.Model, splits: Splits, epoch: int) -> Figure:
    """One validation image of each digit: original, with the noise of the training, and denoised."""
    clean = splits.validation.images
    shown = choose_one_of_each(splits.validation.labels)
    noisy = corrupt_measured(clean, choose_corruption(config.noise), "validation")[shown]
    rows = [("original", clean[shown])]
    rows += [] if config.noise.name == "none" else [(describe_noise(config.noise), noisy)]
    rows.append(("denoised" if len(rows) > 1 else "reconstructed", predict(model, noisy)))
    return figures.plot_image_rows(rows, f"{config.model.name} after epoch {epoch}: validation images")


def _describe_training(model: keras.Model, result: TrainingResult) -> dict[str, float]:
    return {
        **{f"selected_{name}": value for name, value in result.selected.items() if name != "learning_rate"},
        "selected_epoch": result.selected_epoch,
        "fit_seconds": result.fit_seconds,
        "n_parameters": model.count_params(),
    }


def _draw_training(config: TrainConfig, model: keras.Model, result: TrainingResult) -> dict[str, Figure]:
    curves = figures.plot_epoch_curves(
        result.history,
        f"{config.model.name} on {config.data.name}",
        _VALIDATION_NAMES[config.data.validation],
        result.selected_epoch,
        _LOSS_NAMES[config.task],
    )
    title = f"{config.model.name}: {model.count_params():,} parameters"
    diagram = figures.plot_model_diagram(list_layer_rows(model), title)
    return {"curves/epochs.png": curves, "curves/epochs.svg": curves, "model_diagram/diagram.png": diagram}


def list_layer_rows(model: keras.Model) -> list[figures.LayerRow]:
    """What a model's diagram shows, from input to output, without the layers that only move pixels about."""
    inputs = [figures.LayerRow(one.name, "Input", _describe_shape(one.shape), 0) for one in model.inputs]
    return inputs + [
        figures.LayerRow(layer.name, _describe_kind(layer), _describe_shape(layer.output.shape), layer.count_params())
        for layer in list_layers(model)
        if not moves_pixels(layer)
    ]


def _describe_kind(layer: keras.Layer) -> str:
    """Its class, and of a layer that joins others where the further ones come from, which the diagram's order hides."""
    joined = layer.input[1:] if isinstance(layer.input, list) else []
    sources = [tensor._keras_history.operation.name.removesuffix("_halve") for tensor in joined]
    return " ".join([type(layer).__name__, *(f"+ {source}" for source in sources)])


def _describe_shape(shape: tuple[int | None, ...]) -> str:
    """Of one image, without the batch."""
    return " × ".join(str(size) for size in shape[1:])


def _summarise(model: keras.Model) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=100, expand_nested=True)
    return "\n".join(lines) + "\n"
