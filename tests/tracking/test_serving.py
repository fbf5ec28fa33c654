"""The logged model behind MLflow's own scoring server, over HTTP."""

from __future__ import annotations

import json

import mlflow
import numpy as np
import pytest

import mnist_flow
from mnist_flow.runs.orchestrator import run_experiment
from support import QUICK, serve_model


@pytest.fixture
def data(request, tmp_path) -> str:
    """The override that names the data: digits, letters, or arrays of a file."""
    name, n_classes, shape = request.param
    if shape is None:
        return f"data={name}"
    rng, labels = np.random.default_rng(0), np.arange(60) % n_classes
    x = rng.integers(0, 100, (60, *shape), dtype=np.uint8) + (labels * 10).astype(np.uint8)[:, None, None, None]
    classes = [f"kind {label}" for label in range(n_classes)]
    np.savez(tmp_path / "data.npz", x_train=x, y_train=labels, x_test=x, y_test=labels, class_names=classes)
    return f"data=files data.path='{tmp_path / 'data.npz'}' data.holdout_size=0.2"


@pytest.mark.slow
@pytest.mark.launchers
@pytest.mark.parametrize(
    "data",
    [("digits", 10, None), ("letters", 26, None), ("colour", 10, (32, 32, 3)), ("two", 2, (28, 28, 1))],
    ids=lambda one: one[0],
    indirect=True,
)
def test_a_served_model_gives_the_probabilities_of_each_class(store, compose_config, tmp_path, data):
    run_experiment(compose_config(*QUICK, *data.split(" ")))
    (run,) = store.search_runs([store.get_experiment_by_name("mnist_flow").experiment_id])
    predicted = np.load(store.download_artifacts(run.info.run_id, "predictions/test.npz"))
    names = json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/confusion_matrix/confusion_matrix.json"))
    assert len(names["class_names"]) == predicted["probabilities"].shape[1]
    example = mlflow.models.Model.load(f"runs:/{run.info.run_id}/model").load_input_example()
    # The first images of the test set.
    with serve_model(tmp_path, f"runs:/{run.info.run_id}/model") as ask:
        answer = ask({"inputs": np.asarray(example).tolist()})
    np.testing.assert_allclose(answer["predictions"], predicted["probabilities"][: len(example)], atol=1e-6)


@pytest.mark.slow
@pytest.mark.launchers
def test_a_registered_model_is_served_by_its_name_from_a_server(mlflow_server, tmp_path, run_command, monkeypatch):
    variables = {"MLFLOW_TRACKING_URI": mlflow_server.uri}
    asked = ("tracking.register=digits", "tracking.alias=live")
    done = run_command(tmp_path, "-m", "mnist_flow.train", *QUICK, *asked, **variables)
    assert done.returncode == 0, done.stderr
    assert "registered as models:/digits@live, version 1\n" in done.stdout
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    run = mnist_flow.run(mnist_flow.runs()["run_id"].item())
    images = run.load_data().test.images[:5]
    with serve_model(tmp_path, "models:/digits@live", **variables) as ask:
        answer = ask({"inputs": images.tolist()})
    np.testing.assert_allclose(answer["predictions"], run.predict(images), atol=1e-6)
