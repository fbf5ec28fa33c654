"""Plain Optuna over model.fit, pruned after each epoch, tracked to mlflow.db in the working directory."""

from __future__ import annotations

import argparse
import json

import keras
import mlflow
import numpy as np
import optuna

from benchmarks.peers.keras_loop import build_model


class PruneAndLog(keras.callbacks.Callback):
    """Logs each epoch's metrics to MLflow, reports the held-out accuracy to Optuna, and ends hopeless trials."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self.trial = trial

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        mlflow.log_metrics(logs, step=epoch + 1)
        self.trial.report(logs["val_accuracy"], step=epoch + 1)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def search(images: str, trials: int, epochs: int, seed: int) -> optuna.Study:
    """Search for a 500-300 network's settings.

    Args:
        images: an .npz file with x_train, y_train, x_val and y_val.
        trials: how many, pruned ones included.
        epochs: of a trial that is not pruned.
        seed: of the sampler.
    """
    with np.load(images) as data:
        x_train, y_train, x_val, y_val = (data[name] for name in ("x_train", "y_train", "x_val", "y_val"))

    def train(trial: optuna.Trial) -> float:
        learning_rate = trial.suggest_float("learning_rate", 0.003, 0.3, log=True)
        momentum = trial.suggest_float("momentum", 0, 0.9)
        reg = trial.suggest_float("reg", 1e-7, 1e-3, log=True)
        batch_size = trial.suggest_int("batch_size", 64, 256, step=64)
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        model = build_model("mlp", [500, 300], reg)
        model.compile(
            optimizer=keras.optimizers.SGD(learning_rate, momentum),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        with mlflow.start_run(run_name=f"trial {trial.number}"):
            mlflow.log_params(trial.params)
            try:
                history = model.fit(
                    x_train,
                    y_train,
                    batch_size=batch_size,
                    epochs=epochs,
                    validation_data=(x_val, y_val),
                    callbacks=[PruneAndLog(trial)],
                    verbose=0,
                )
            except optuna.TrialPruned:
                mlflow.set_tag("state", "PRUNED")
                mlflow.end_run("KILLED")
                raise
            # The requirements are named, since finding them out takes ten seconds a model.
            mlflow.tensorflow.log_model(model, name="model", pip_requirements=["tensorflow", "keras"])
        accuracy: float = history.history["val_accuracy"][-1]
        return accuracy

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.MedianPruner()
    )
    study.optimize(train, n_trials=trials)
    return study


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("optuna")
    found = search(parsed.images, parsed.trials, parsed.epochs, parsed.seed)
    print(json.dumps({"runs": len(found.trials), "best": found.best_value}))
