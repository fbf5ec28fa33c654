"""A run that a notebook has trained, and tables, figures and evaluations of it."""

from __future__ import annotations

import re

import mlflow
import numpy as np
import pytest

import mnist_flow
from mnist_flow.errors import ConfigError, RunError, TrackingError

WORDS = "data=digits model=mlp 'model.hidden_units=[16]' epochs=2 tracking.experiment_name=notebook"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture
def trained(client):
    """The same run in every test: it is found where it was trained before."""
    return mnist_flow.train(WORDS)


def test_a_run_has_its_params_metrics_and_curves(trained, client):
    logged = client.get_run(trained.run_id)
    assert logged.info.run_name == "model.hidden_units=[16] epochs=2 mlp"
    assert trained.state == "finished"
    assert trained.params == logged.data.params
    assert trained.metrics["test_accuracy"] == logged.data.metrics["test_accuracy"]
    assert f"/runs/{trained.run_id}?" in trained.link
    history = trained.fetch_history()
    assert list(history.index) == [1, 2]
    assert history["val_accuracy"].iloc[-1] == logged.data.metrics["val_accuracy"]
    assert client.list_artifacts(trained.run_id, "config")[1].path == "config/overrides.yaml"


def test_its_predictions_are_those_that_were_measured(trained):
    labels = trained.load_data().test.labels
    probabilities = trained.predict()
    assert probabilities.shape == (len(labels), 10)
    assert np.mean(probabilities.argmax(axis=1) == labels) == pytest.approx(trained.metrics["test_accuracy"])
    few = trained.predict(trained.load_data().test.images[:3])
    np.testing.assert_allclose(few, probabilities[:3], rtol=1e-5)
    trained.predict(trained.load_data().test.images[:3] * 1.1)
    shape = (1, 28, 28, 1)
    for images, remedy in (
        (np.full(shape, 200, np.uint8), "images / 255"),
        (np.full(shape, 255, np.float32), "images / 255"),
        (np.full(shape, 1, np.uint8), "images.astype('float32')"),
        (np.full(shape, 200).tolist(), "images / 255"),
    ):
        with pytest.raises(ValueError, match=rf"^images: pixels must be floats .*; give {re.escape(remedy)}$"):
            trained.predict(images)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((28, 28)), r"images: have the shape \(28, 28\); the model takes \(n, 28, 28, 1\)"),
        (np.zeros((3, 20, 20, 1)), r"images: have the shape \(3, 20, 20, 1\); the model takes \(n, 28, 28, 1\)"),
        (np.zeros((0, 28, 28, 1)), "images: there are none"),
        ("x", "images: must be an array of numbers, but are <U1"),
        (np.full((1, 28, 28, 1), np.nan), "images: some pixels are NaN or infinite; leave out their images: "),
        (np.full((1, 28, 28, 1), np.inf), "images: some pixels are NaN or infinite; leave out their images: "),
    ],
)
def test_what_is_no_image_of_the_network_is_told(trained, images, told):
    with pytest.raises(ValueError, match=f"^{told}"):
        trained.predict(images)


def test_a_run_knows_its_store_wherever_the_notebook_goes(trained, monkeypatch, tmp_path):
    history = trained.fetch_history()
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert trained.fetch_history().equals(history)
        assert not (tmp_path / "mlflow.db").exists()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'other.db'}")
    told = rf"^the run is tracked at {re.escape(trained.uri)}, and MLflow is set to .*other\.db here; call mlflow\.set_"
    with pytest.raises(ConfigError, match=told):
        trained.fetch_history()


def test_runs_are_a_table(trained):
    other = mnist_flow.train(f"{WORDS} seed=1")
    earlier = mnist_flow.train(f"{WORDS} seed=5 tracking.experiment_name=zzz")
    later = mnist_flow.train(f"{WORDS} seed=5 tracking.experiment_name=aaa")
    assert list(mnist_flow.runs(["aaa", "zzz"])["run_id"]) == [earlier.run_id, later.run_id]
    table = mnist_flow.runs("notebook")
    assert list(table["run_id"]) == [trained.run_id, other.run_id]
    assert list(table["seed"]) == [0, 1]
    assert table["test_accuracy"].iloc[0] == trained.metrics["test_accuracy"]
    assert list(mnist_flow.runs(filter="params.seed = '1'")["run_id"]) == [other.run_id]
    none = mnist_flow.runs("notebook", filter="params.seed = '99'")
    assert (len(none), list(none.columns)) == (0, list(table.columns))
    with pytest.raises(TrackingError, match=r"^experiment 'notebok': there is none at .*; did you mean 'notebook'"):
        mnist_flow.runs("notebok")


def test_a_study_is_figures_and_tables_and_writes_nothing(trained, folder):
    study = mnist_flow.study("study=curves tracking.experiment_name=notebook")
    assert study.figure.axes
    assert study.table.equals(study.tables[""])
    assert study._repr_png_().startswith(b"\x89PNG")
    assert not (folder / "figures").exists()


def test_evaluations_are_a_table(trained):
    table = mnist_flow.evaluate("measure=rotation 'measure.rotation.degrees=[15.0]' tracking.experiment_name=notebook")
    assert trained.run_id in list(table["run_id"])


def test_a_run_that_is_not_there_or_has_no_model_is_told(client, monkeypatch, tmp_path):
    with pytest.raises(TrackingError, match=r"^run_id=abc: there is no such run at sqlite:"):
        mnist_flow.run("abc")
    with pytest.raises(ConfigError, match=r"^run_id=None: must be the id of a run, a text"):
        mnist_flow.run(None)
    bare = mnist_flow.train(f"{WORDS} seed=2 tracking.log_model=false")
    with pytest.raises(RunError, match=f"^run {bare.run_id}: has no logged model"):
        bare.predict()
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(None)
    with pytest.raises(TrackingError, match="no such store"):
        mnist_flow.runs()
    assert not (tmp_path / "mlflow.db").exists()
