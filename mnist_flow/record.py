"""What a run logs: what it starts from, and what it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from mnist_flow import environment, figures
from mnist_flow.config import TrainConfig
from mnist_flow.data import IMAGE_SHAPE, DataSet, Splits
from mnist_flow.evaluation import Evaluation, compute_per_class, find_misclassified
from mnist_flow.training import TrainingResult, describe_devices

if TYPE_CHECKING:
    import keras

    from mnist_flow.tracking import TrackedRun

_VALIDATION_NAMES = {"holdout": "validation (held out)", "test": "validation (= test set)"}


def log_inputs(cfg: DictConfig, config: TrainConfig, data_set: DataSet, splits: Splits, run: TrackedRun) -> None:
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
    run.log_data_set(data_set, {"training": splits.train, "validation": splits.validation, "test": splits.test})


def log_outputs(
    config: TrainConfig,
    model: keras.Model,
    splits: Splits,
    result: TrainingResult,
    evaluation: Evaluation,
    probabilities: np.ndarray,
    run: TrackedRun,
) -> None:
    """What the run leaves behind: figures, tables, predictions and the model."""
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
    run.log_artifacts(
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
        tables={"tables/per_class.json": per_class},
    )
    if config.tracking.log_model:
        run.log_model(model, test.images[:5], probabilities[:5])
