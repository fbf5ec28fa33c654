"""One run's story: check, load, build, train, measure, remember."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mnist_flow import augmentation, noise
from mnist_flow.config import (
    AffineConfig,
    AugmentationConfig,
    AutoencoderConfig,
    CNNConfig,
    GaussianConfig,
    MLPConfig,
    ModelConfig,
    NoiseConfig,
    PlateauConfig,
    SaltAndPepperConfig,
    ShiftConfig,
    TrainConfig,
    flatten,
    validate_config,
)
from mnist_flow.console import TrainingProgress, print_summary
from mnist_flow.data import IMAGE_SHAPE, DataSet, Splits, load_data_set, split_data_set
from mnist_flow.native_output import native_stderr_hidden

if TYPE_CHECKING:
    import keras

    from mnist_flow.evaluation import Evaluation
    from mnist_flow.training import Corrupt, DrawTransforms, TrainingResult

_VALIDATION_NAMES = {"holdout": "validation (held out)", "test": "validation (= test set)"}


def run_experiment(cfg: DictConfig) -> float:
    """Train, evaluate and track one network.

    Args:
        cfg: the config that Hydra composed from conf/config.yaml.

    Returns:
        The metric that `evaluation.objective` names.

    Raises:
        UserError: bad config, data or tracking server; no run is left in MLflow.
        RunError: the training diverged; the run is marked FAILED.
    """
    config = validate_config(cfg, TrainConfig)
    data_set = load_data_set(config.data.name, config.data.path)
    splits = split_data_set(data_set, config.data.validation, config.data.holdout_size, config.data.split_seed)

    # MLflow and TensorFlow take seconds to import, so bad input is told before.
    from mnist_flow import tracking
    from mnist_flow.evaluation import evaluate_predictions, predict_probabilities

    with native_stderr_hidden():
        from mnist_flow.training import configure_tensorflow, reset_keras

    tracking.configure(config.tracking.uri)
    experiment_id = os.environ.get(tracking.EXPERIMENT_ID_VARIABLE) or tracking.get_or_create_experiment(
        config.tracking.experiment_name
    )
    threads = configure_tensorflow(config.training.threads)
    identity = describe_identity(config, data_set.digest, threads)
    tags = {
        tracking.KIND_TAG: "train",
        tracking.FINGERPRINT_TAG: tracking.compute_fingerprint(identity),
        tracking.GROUP_TAG: tracking.compute_fingerprint({k: v for k, v in identity.items() if k != "seed"}),
    }
    with tracking.start_run(
        experiment_id,
        config.tracking.run_name or _build_run_name(config),
        tags,
        parent_run_id=os.environ.get(tracking.PARENT_RUN_ID_VARIABLE),
        system_metrics=config.tracking.system_metrics,
    ) as run:
        reset_keras(config.seed, config.training.precision)
        _log_inputs(cfg, config, data_set, splits)
        model = build_model(config.model, config.reg)
        result = _train(config, model, splits)
        probabilities = predict_probabilities(model, splits.test.images, config.evaluation.batch_size)
        l2_penalty = float(sum(np.asarray(penalty) for penalty in model.losses))
        evaluation = evaluate_predictions(probabilities, splits.test.labels, l2_penalty)
        tracking.log_metrics(
            {
                "test_loss": evaluation.loss,
                "test_cross_entropy": evaluation.cross_entropy,
                "test_l2_penalty": evaluation.l2_penalty,
                "test_accuracy": evaluation.accuracy,
                "test_accuracy_standard_error": evaluation.standard_error,
                "selected_epoch": result.selected_epoch,
                "fit_seconds": result.fit_seconds,
                "n_parameters": model.count_params(),
            }
        )
        _log_outputs(config, model, splits, result, evaluation, probabilities)
    _print_result(config, model, result, evaluation, run.info.run_id)
    finals = {**result.selected, "test_accuracy": evaluation.accuracy, "test_loss": evaluation.loss}
    return finals[config.evaluation.objective]


def describe_identity(config: TrainConfig, data_digest: str, threads: int) -> dict[str, Any]:
    """Everything that can change the result: the config less paths, tracking, evaluation and speed, and the data.

    Equal identities mean equal results; different ones may, too (a model's name, say, is part of it).
    """
    identity = config.model_dump(exclude={"tracking": True, "evaluation": True, "data": {"path"}})
    del identity["training"]["steps_per_execution"]
    identity["training"]["threads"] = threads
    identity["data"]["digest"] = data_digest
    return identity


def build_model(model: ModelConfig, reg: float) -> keras.Model:
    """The network that a model config describes, its weights drawn from the current Keras seed."""
    from mnist_flow.models.autoencoder import build_autoencoder
    from mnist_flow.models.cnn import Block, build_cnn
    from mnist_flow.models.mlp import build_mlp

    options = model.model_dump(exclude={"family", "blocks"})
    match model:
        case MLPConfig():
            return build_mlp(**options, reg=reg)
        case CNNConfig():
            return build_cnn([Block(**block.model_dump()) for block in model.blocks], **options, reg=reg)
        case AutoencoderConfig():
            return build_autoencoder(**options)


def choose_corruption(config: NoiseConfig) -> Corrupt | None:
    """The function that corrupts training images, or None."""
    match config:
        case GaussianConfig(stddev=stddev):
            return lambda images, rng: noise.add_gaussian(images, stddev, rng)
        case SaltAndPepperConfig(level=level):
            return lambda images, rng: noise.add_salt_and_pepper(images, level, rng)
    return None


def choose_transforms(config: AugmentationConfig) -> DrawTransforms | None:
    """The function that draws geometric transforms for training images, or None."""
    match config:
        case ShiftConfig(max_pixels=pixels):
            return lambda n, rng: augmentation.draw_shifts(n, pixels, rng)
        case AffineConfig(rotation=rotation, zoom=zoom, shift=shift):
            return lambda n, rng: augmentation.draw_affine_transforms(n, rotation, zoom, shift, rng)
    return None


def _train(config: TrainConfig, model: keras.Model, splits: Splits) -> TrainingResult:
    from mnist_flow import tracking
    from mnist_flow.training import Plateau, build_learning_rate, build_optimizer, count_steps, train_model

    schedule = config.schedule.model_dump(exclude={"name"})
    plateau = Plateau(**schedule) if isinstance(config.schedule, PlateauConfig) else None
    learning_rate = build_learning_rate(
        config.optimizer.learning_rate,
        steps_per_epoch=count_steps(len(splits.train), config.batch_size),
        epochs=config.epochs,
        schedule=config.schedule.name,
        **({} if plateau else schedule),
    )
    optimizer = build_optimizer(
        config.optimizer.name,
        learning_rate,
        config.training.ema_momentum,
        **config.optimizer.model_dump(exclude={"name", "learning_rate"}),
    )
    label, live = _describe_job()
    with TrainingProgress(config.epochs, len(splits.train), label, live) as progress:

        def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
            progress.on_epoch(epoch, metrics)
            tracking.log_epoch(epoch, metrics)

        return train_model(
            model,
            splits.train,
            splits.validation,
            optimizer,
            epochs=config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            corrupt=choose_corruption(config.noise),
            draw_transforms=choose_transforms(config.augmentation),
            label_smoothing=config.training.label_smoothing,
            plateau=plateau,
            monitor=config.training.monitor,
            early_stopping_patience=config.training.early_stopping_patience,
            keep_best_epoch=config.training.keep_best_epoch,
            steps_per_execution=config.training.steps_per_execution,
            evaluation_batch_size=config.evaluation.batch_size,
            on_steps=progress.on_steps,
            on_epoch=on_epoch,
        )


def _log_inputs(cfg: DictConfig, config: TrainConfig, data_set: DataSet, splits: Splits) -> None:
    """What the run starts from: params, config, environment, code and data."""
    from mnist_flow import environment, tracking
    from mnist_flow.training import describe_devices

    tracking.log_params(flatten(config.model_dump()))
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
    tracking.log_artifacts(
        texts=texts,
        records={
            "environment/machine.json": {**environment.describe_machine(), **describe_devices()},
            "environment/git.json": {key: value for key, value in code.items() if key != "diff"},
        },
    )
    tracking.log_data_set(data_set, {"training": splits.train, "validation": splits.validation, "test": splits.test})


def _log_outputs(
    config: TrainConfig,
    model: keras.Model,
    splits: Splits,
    result: TrainingResult,
    evaluation: Evaluation,
    probabilities: np.ndarray,
) -> None:
    """What the run leaves behind: figures, tables, predictions and the model."""
    from mnist_flow import figures, tracking
    from mnist_flow.evaluation import compute_per_class, find_misclassified

    test, predicted = splits.test, probabilities.argmax(axis=1)
    curves = figures.plot_epoch_curves(
        result.history,
        f"{config.model.name} on {config.data.name}",
        _VALIDATION_NAMES[config.data.validation],
        result.selected_epoch,
    )
    wrong = find_misclassified(probabilities, test.labels, config.evaluation.misclassified)
    n_wrong = int(np.sum(predicted != test.labels))
    score = f"{config.model.name}, {config.data.name} test set: {n_wrong:,} of {evaluation.n:,} misclassified"
    summary: list[str] = []
    model.summary(print_fn=summary.append, line_length=100)
    per_class = compute_per_class(test.labels, predicted)
    tracking.log_artifacts(
        figures={
            "curves/epochs.png": curves,
            "curves/epochs.svg": curves,
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
            "model_diagram/diagram.png": figures.plot_model_diagram(
                [
                    figures.LayerRow("images", "Input", " × ".join(map(str, IMAGE_SHAPE)), 0),
                    *(
                        figures.LayerRow(
                            layer.name,
                            type(layer).__name__,
                            " × ".join(str(size) for size in layer.output.shape[1:]),
                            layer.count_params(),
                        )
                        for layer in model.layers
                    ),
                ],
                f"{config.model.name}: {model.count_params():,} parameters",
            ),
        },
        records={
            "confusion_matrix/confusion_matrix.json": {
                "rows": "true digit",
                "columns": "predicted digit",
                "counts": evaluation.confusion.tolist(),
            }
        },
        texts={"model_diagram/summary.txt": "\n".join(summary) + "\n"},
        arrays={"predictions/test.npz": {"probabilities": probabilities, "labels": test.labels}},
    )
    tracking.log_table("tables/per_class.json", per_class)
    if config.tracking.log_model:
        tracking.log_model(model, test.images[:5], probabilities[:5])


def _print_result(
    config: TrainConfig, model: keras.Model, result: TrainingResult, evaluation: Evaluation, run_id: str
) -> None:
    from mnist_flow import tracking

    accuracy = f"{evaluation.accuracy:.2%} ± {evaluation.standard_error:.2%} (standard error, n = {evaluation.n:,})"
    label, _ = _describe_job()
    if label:
        print(f"{label}test accuracy {accuracy}, run {run_id}", flush=True)
        return
    protocol = {"holdout": "", "test": " (validated on the test set, as the reports did)"}[config.data.validation]
    print_summary(
        f"{config.model.name} on {config.data.name}{protocol}",
        {
            "test accuracy": accuracy,
            "test loss": f"{evaluation.loss:.5f} with the L2 penalty, {evaluation.cross_entropy:.5f} without",
            "validation accuracy": f"{result.selected['val_accuracy']:.2%} (epoch {result.selected_epoch})",
            "parameters": f"{model.count_params():,}",
            "training time": f"{result.fit_seconds:.1f} s, {len(result.history)} epochs",
            "run id": run_id,
            "tracked at": tracking.get_uri(),
            "look": tracking.describe_ui_command(),
        },
    )


def _build_run_name(config: TrainConfig) -> str:
    """The model and what was overridden, as far as it says what is trained."""
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    # What sets the run apart first: MLflow's page shows the first twenty letters.
    return " ".join([*_select_telling(overrides), config.model.name])


def _select_telling(overrides: Sequence[str]) -> list[str]:
    """The overrides that say what is trained, not where it is kept."""
    return [text for text in overrides if not text.startswith(("model=", "data", "tracking.", "evaluation."))]


def _describe_job() -> tuple[str, bool]:
    """Label of a sweep's job, and whether the terminal is its own: not where several jobs run at once."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return "", True
    hydra = HydraConfig.get()
    alone = hydra.launcher._target_.endswith("BasicLauncher")
    return f"[{hydra.job.num}] {' '.join(_select_telling(hydra.overrides.task))}  ", alone
