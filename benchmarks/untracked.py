"""The project's own training without MLflow and artifacts: python -m benchmarks.untracked seed=0,1 model=mlp_64_64.

Configs are composed, the data is loaded, networks are trained, predicted with and measured as `mnist_flow.train -m`
does in one process; nothing is remembered.
"""

from __future__ import annotations

import json
import sys

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from mnist_flow import CONF_DIR
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.loading import load_info, load_splits
from mnist_flow.metrics.classification import evaluate_predictions
from mnist_flow.models import build_model
from mnist_flow.models.prediction import predict
from mnist_flow.runs.training import build_optimization, build_settings
from mnist_flow.runtime.garbage import collect_rarely
from mnist_flow.tasks import find_task
from mnist_flow.training.devices import configure_tensorflow, reset_keras
from mnist_flow.training.loop import train_model


def main() -> None:
    collect_rarely()
    swept = [override for override in sys.argv[1:] if override.startswith("seed=")]
    others = [override for override in sys.argv[1:] if override not in swept]
    (seeds,) = OverridesParser.create().parse_overrides(swept)
    accuracies = []
    for seed in seeds.sweep_string_iterator() if seeds.is_sweep_override() else [seeds.value()]:
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            config = validate_config(compose("config", [*others, f"seed={seed}"]), TrainConfig)
        data = config.data
        splits = load_splits(data.name, data.path, data.validation, data.holdout_size, data.split_seed, data.scale)
        configure_tensorflow(config.training.threads or 1)
        reset_keras(config.seed, config.training.precision)
        info = load_info(data.name, data.path)
        model = build_model(config.model, info, config.reg)
        train_model(
            model,
            find_task(config.task),
            splits,
            info,
            build_optimization(config, len(splits.train)),
            build_settings(config),
        )
        probabilities = predict(model, splits.test.images, config.evaluation.batch_size)
        accuracies.append(evaluate_predictions(probabilities, splits.test.labels).accuracy)
    report = {"runs": len(accuracies), "test_accuracy": sum(accuracies) / len(accuracies)}
    print(json.dumps({**report, "mlflow_imported": int("mlflow" in sys.modules)}))


if __name__ == "__main__":
    main()
