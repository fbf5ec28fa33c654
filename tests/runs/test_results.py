"""What runs log at their end, computed anew from the model that they logged and from the data.

The formulas stand here once more, in NumPy, so that a mistake in ours is not compared with itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import median_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mnist_flow.data.dataset import Splits
from mnist_flow.data.loading import load_splits
from mnist_flow.data.noise.salt_and_pepper import add_noise
from mnist_flow.runs.orchestrator import run_experiment

# A learning rate that rises until the network forgets: the first epoch is the best.
FORGETTING = (
    *("epochs=3", "batch_size=32", "optimizer.momentum=0.9", "optimizer.learning_rate=0.4"),
    *("schedule=cosine", "schedule.warmup_epochs=2.9", "training.keep_best_epoch=true"),
)
# As `streams` keys the noise of the test images, whatever the seed.
TEST_NOISE = [2**32, 1]


class Finished(NamedTuple):
    objective: float
    metrics: dict[str, float]
    history: list[dict[str, float]]
    model: keras.Model
    folder: Path
    splits: Splits


@pytest.fixture
def finish(store, compose_config, tmp_path) -> Any:
    """Run a config on the digits; returns what it left in the store."""

    def run(*overrides: str) -> Finished:
        objective = run_experiment(compose_config("data=digits", *overrides))
        (found,) = store.search_runs([store.get_experiment_by_name("mnist_flow").experiment_id])
        run_id = found.info.run_id
        epochs = {
            name: [point.value for point in sorted(store.get_metric_history(run_id, name), key=lambda one: one.step)]
            for name in found.data.metrics
            if len(store.get_metric_history(run_id, name)) > 1
        }
        history = [dict(zip(epochs, values, strict=True)) for values in zip(*epochs.values(), strict=True)]
        model = mlflow.tensorflow.load_model(f"runs:/{run_id}/model")
        folder = Path(store.download_artifacts(run_id, "", str(tmp_path)))
        return Finished(
            objective, found.data.metrics, history, model, folder, load_splits("digits", None, "holdout", 300, 0)
        )

    return run


def compute_cross_entropy(probabilities, labels, smoothing=0.0):
    targets = np.eye(10)[labels] * (1 - smoothing) + smoothing / 10
    return float(-np.mean(np.sum(targets * np.log(np.clip(probabilities, 1e-7, 1)), axis=1)))


def test_a_classifiers_results_are_those_of_its_logged_model(finish):
    objective, metrics, history, model, folder, splits = finish(
        *("model=mlp", "model.hidden_units=[16,12]", "model.activation=tanh", *FORGETTING),
        *("reg=1e-2", "model.regularized_layers=[dense_2]", "training.label_smoothing=0.1"),
    )
    probabilities = np.asarray(model(splits.test.images))
    predicted, labels = probabilities.argmax(axis=1), splits.test.labels
    accuracy = np.mean(predicted == labels)
    assert metrics["test_accuracy"] == accuracy
    assert metrics["test_accuracy_standard_error"] == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / 360))
    recalls = [np.mean(predicted[labels == label] == label) for label in range(10)]
    assert metrics["test_balanced_accuracy"] == pytest.approx(np.mean(recalls))
    # Once, of the layer that was named alone.
    penalty = 1e-2 * np.sum(np.square(model.get_layer("dense_2").kernel))
    cross_entropy = compute_cross_entropy(probabilities, labels)
    assert metrics["test_l2_penalty"] == pytest.approx(penalty, rel=1e-5)
    assert metrics["test_cross_entropy"] == pytest.approx(cross_entropy, rel=1e-5)
    assert metrics["test_loss"] == pytest.approx(cross_entropy + penalty, rel=1e-5)
    assert metrics["n_parameters"] == 784 * 16 + 16 + 16 * 12 + 12 + 12 * 10 + 10

    assert metrics["selected_epoch"] == 1 + np.argmin([epoch["val_loss"] for epoch in history]) == 1
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert metrics[f"selected_{name}"] == history[0][name] != history[-1][name]
    of_validation = np.asarray(model(splits.validation.images))
    smoothed = compute_cross_entropy(of_validation, splits.validation.labels, smoothing=0.1)
    assert metrics["selected_val_loss"] == pytest.approx(smoothed + penalty, rel=1e-4)
    assert objective == np.float32(np.mean(of_validation.argmax(axis=1) == splits.validation.labels))

    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (labels, predicted), 1)
    logged = json.loads((folder / "confusion_matrix/confusion_matrix.json").read_text())
    axes = {"rows": "true digit", "columns": "predicted digit", "class_names": list("0123456789")}
    assert logged == {**axes, "counts": confusion.tolist()}
    assert not np.array_equal(confusion, confusion.T)
    per_class = pd.read_json(folder / "tables/per_class.json", orient="split")
    np.testing.assert_allclose(per_class["recall"], np.diag(confusion) / confusion.sum(axis=1))
    np.testing.assert_allclose(per_class["precision"], np.diag(confusion) / confusion.sum(axis=0))
    assert per_class["support"].tolist() == confusion.sum(axis=1).tolist()
    saved = np.load(folder / "predictions/test.npz")
    np.testing.assert_allclose(saved["probabilities"], probabilities, atol=1e-6)
    np.testing.assert_array_equal(saved["labels"], labels)


def test_a_denoisers_results_are_those_of_its_logged_model(finish):
    objective, metrics, history, model, folder, splits = finish(
        *("model=autoencoder", "model.hidden_units=[16]", "model.latent_units=8", "epochs=2", "seed=1"),
        *("noise=salt_and_pepper", "noise.level=0.3", "evaluation.noise_levels=[0.0,0.4]"),
        *("evaluation.quality_images=20", "evaluation.samples_every=2"),
    )
    clean = splits.test.images
    noisy = add_noise(clean, 0.3, np.random.default_rng(TEST_NOISE))
    made = np.asarray(model(noisy)).astype(np.float64)
    loss = -np.mean(clean * np.log(made) + (1 - clean) * np.log(1 - made))
    assert metrics["test_loss"] == pytest.approx(loss, rel=1e-5)

    def compute_quality(images):
        pairs = list(zip(clean[:20, :, :, 0], np.asarray(images)[:20, :, :, 0], strict=True))
        psnr = np.mean([peak_signal_noise_ratio(*pair, data_range=1.0) for pair in pairs])
        return psnr, np.mean([structural_similarity(*pair, data_range=1.0) for pair in pairs])

    psnr, ssim = compute_quality(made.astype(np.float32))
    assert (metrics["test_psnr"], metrics["test_ssim"]) == (pytest.approx(psnr), pytest.approx(ssim))
    table = pd.read_json(folder / "tables/reconstruction.json", orient="split").set_index(["level", "method"])
    assert set(table["n"]) == {20}
    seasoned = add_noise(clean[:20], 0.4, np.random.default_rng([0, 0]))
    filtered = median_filter(seasoned, size=(1, 3, 3, 1), mode="constant")
    for method, images in {"noisy": seasoned, "median_3x3": filtered, "denoised": model(seasoned)}.items():
        psnr, ssim = compute_quality(images)
        assert table.loc[0.4, method]["psnr"] == pytest.approx(psnr, rel=1e-5)
        assert table.loc[0.4, method]["ssim"] == pytest.approx(ssim, rel=1e-5)
    for name in ("psnr", "ssim"):
        assert metrics[f"test_{name}_at_level_0.4"] == pytest.approx(table.loc[0.4, "denoised"][name])
        assert metrics[f"test_{name}_at_level_0"] == pytest.approx(table.loc[0.0, "denoised"][name])
    assert objective == metrics["selected_val_loss"] == history[-1]["val_loss"]
    assert not {"val_accuracy", "test_accuracy"} & metrics.keys()
    assert {file.name for file in (folder / "samples").rglob("*.png")} == {
        *("levels.png", "reconstruction.png", "epoch_002.png")
    }


def test_a_generators_results_are_those_of_its_logged_model(finish):
    objective, metrics, history, model, folder, splits = finish(
        *("model=cvae", "model.hidden_units=[16]", "model.latent_units=3", "epochs=2", "evaluation.samples_every=1"),
    )
    inputs = [splits.test.images, np.eye(10, dtype=np.float32)[splits.test.labels]]
    made = np.asarray(model(inputs)).astype(np.float64)
    clean = splits.test.images
    cross_entropy = -np.sum(clean * np.log(made) + (1 - clean) * np.log(1 - made)) / len(clean)
    mean, log_stddev = (np.asarray(part) for part in model.get_layer("encoder")(inputs))
    divergence = np.mean(np.sum((mean**2 + np.exp(2 * log_stddev) - 1) / 2 - log_stddev, axis=1))
    assert metrics["test_cross_entropy"] == pytest.approx(cross_entropy, rel=1e-5)
    assert metrics["test_code_divergence"] == pytest.approx(divergence, rel=1e-4)
    assert metrics["test_loss"] == pytest.approx(cross_entropy + divergence, rel=1e-5)
    assert objective == metrics["selected_val_loss"] == history[-1]["val_loss"]
    assert {file.name for file in (folder / "samples").rglob("*.png")} == {
        *("generated.png", "epoch_001.png", "epoch_002.png")
    }
