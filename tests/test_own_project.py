"""examples/own_project, as somebody uses it who has copied the folder and installed the project."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from commands import start_command
from support import PROJECT_DIR, serve_model, wait_until

EXAMPLE = PROJECT_DIR / "examples/own_project"
TRAIN = ("-m", "mnist_flow.train", "--config-dir", "conf")
SMALL = ("model=residual", "data=digits", "epochs=1", "batch_size=64", "tracking.log_figures=false")


@pytest.fixture
def copied(tmp_path) -> Path:
    """The example in a folder elsewhere."""
    return shutil.copytree(EXAMPLE, tmp_path / "mine", ignore=shutil.ignore_patterns("__pycache__", "*.db", "figures"))


def fetch_runs(folder: Path, experiment: str, kind: str = "train") -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment_id = client.get_experiment_by_name(experiment).experiment_id
    return client.search_runs([experiment_id], f"tags.`mnist_flow.kind` = '{kind}'", order_by=["attributes.start_time"])


def test_the_example_is_short():
    files = [*EXAMPLE.rglob("*.py"), *EXAMPLE.rglob("*.yaml")]
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) <= 80


def test_its_network_trains_on_the_digits_and_is_another_run_when_it_is_changed(copied, run_command):
    done = run_command(copied, *TRAIN, *SMALL)
    assert done.returncode == 0, done.stderr
    again = run_command(copied, *TRAIN, *SMALL)
    assert "has the same config and data and is finished" in again.stdout
    network = copied / "lab/residual.py"
    works = network.read_text(encoding="utf-8")
    network.write_text(works.replace("layers.add(", "layers.addd("), encoding="utf-8")
    broken = run_command(copied, *TRAIN, *SMALL)
    assert broken.returncode == 1
    line = works[: works.index("layers.add(")].count("\n") + 1
    assert f"error: lab/residual.py:{line}: AttributeError: module 'keras.layers' has no attribute 'addd' (HYDRA" in (
        broken.stderr
    )
    assert "Traceback" not in broken.stderr
    first, failed = fetch_runs(copied, "mnist_flow")
    assert (first.info.status, failed.info.status) == ("FINISHED", "FAILED")
    assert first.data.tags["mnist_flow.fingerprint"] != failed.data.tags["mnist_flow.fingerprint"]
    assert first.data.params["model.module"] == "lab.residual"
    kept = mlflow.artifacts.download_artifacts(
        run_id=first.info.run_id,
        artifact_path="environment/own_code/lab/residual.py",
        tracking_uri=f"sqlite:///{copied / 'mlflow.db'}",
        dst_path=str(copied / "kept"),
    )
    assert Path(kept).read_text(encoding="utf-8") == works


def test_a_run_on_data_with_keys_of_any_type_is_trained_and_measured(copied, run_command):
    shapes, option = copied / "lab/shapes.py", copied / "conf/data/shapes.yaml"
    code = shapes.read_text(encoding="utf-8")
    code = code.replace(
        "contrast: int", "contrast: int\n    sizes: list[int]\n    most: int | None\n    tag: str | None"
    )
    checked = "load(path, contrast, sizes, most, tag):\n    assert (sizes, most, tag) == ([1, 2], None, None)"
    shapes.write_text(code.replace("load(path, contrast):", checked), encoding="utf-8")
    option.write_text(option.read_text(encoding="utf-8") + "sizes: [1, 2]\nmost: null\ntag: null\n", encoding="utf-8")
    quick = ("data=shapes", "model=mlp_100", "epochs=1", "tracking.log_figures=false")
    done = run_command(copied, *TRAIN, *quick)
    assert done.returncode == 0, done.stderr
    measured = run_command(copied, "-m", "mnist_flow.evaluate", "measure=rotation", "measure.rotation.degrees=[0.0]")
    assert measured.returncode == 0, measured.stderr
    (run,), (evaluation,) = fetch_runs(copied, "mnist_flow"), fetch_runs(copied, "mnist_flow", "evaluation")
    assert evaluation.data.metrics["rotation_mean_accuracy"] == run.data.metrics["test_accuracy"]


@pytest.mark.slow
@pytest.mark.launchers
def test_all_of_it_works_elsewhere_with_the_project_installed_from_a_wheel(copied, tmp_path, run_command):
    """A pool, analysis, evaluation, a network of one's own with a loss of one's own, and its repetition."""
    wheels, installed = tmp_path / "wheels", tmp_path / "installed"
    build = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(wheels), str(PROJECT_DIR))
    done = run_command(tmp_path, "-m", "pip", "wheel", *build)
    assert done.returncode == 0, done.stderr
    install = ("--no-deps", "--no-index", "--quiet", "--target", str(installed))
    done = run_command(tmp_path, "-m", "pip", "install", *install, *map(str, wheels.glob("*.whl")))
    assert done.returncode == 0, done.stderr

    def run(*arguments: str) -> str:
        done = run_command(copied, *arguments, PYTHONPATH=os.fspath(installed))
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    assert str(installed) in run("-c", "import mnist_flow; print(mnist_flow.__file__)")
    sweep = (*TRAIN, "-m", "experiment=shapes", "epochs=2", "hydra/launcher=local_pool", "hydra.launcher.n_jobs=2")
    assert "4 jobs: 0 skipped, 0 resumed, 4 new" in run(*sweep)
    assert "4 jobs: 4 skipped, 0 resumed, 0 new" in run(*sweep)
    run("-m", "mnist_flow.analyze", "--config-dir", "conf", "study=size")
    table = pd.read_csv(copied / "figures/size.csv")
    assert table["count"].tolist() == [2, 2]
    assert (copied / "figures/size.png").exists()
    measure = ("measure=rotation", "measure.rotation.degrees=[0.0]", "tracking.experiment_name=shapes")
    assert "4 evaluations: 0 done before, 4 to measure" in run("-m", "mnist_flow.evaluate", *measure)
    accuracies = {
        run.data.tags["mnist_flow.measured_run"]: run.data.metrics["rotation_mean_accuracy"]
        for run in fetch_runs(copied, "shapes", "evaluation")
    }
    assert accuracies == {run.info.run_id: run.data.metrics["test_accuracy"] for run in fetch_runs(copied, "shapes")}

    (copied / "lab/margin.py").write_text(LOSS, encoding="utf-8")
    (copied / "conf/loss").mkdir()
    (copied / "conf/loss/margin.yaml").write_text("module: lab.margin\nname: margin\nwidth: 0.8\n", encoding="utf-8")
    told = run(*TRAIN, *SMALL, "loss=margin")
    run_id = re.search(r"run id\W+(\w{32})", told)[1]
    (original,) = fetch_runs(copied, "mnist_flow")
    assert original.info.run_id == run_id
    assert original.data.params["loss.module"] == "lab.margin"
    # The margin's loss lies between 0 and the width, unlike the cross-entropy of chance.
    assert original.data.metrics["test_loss"] <= 0.8 < original.data.metrics["test_cross_entropy"]
    # Neither the folder with the YAML files nor the loss is needed any more to repeat or load it, only the module.
    shutil.rmtree(copied / "conf")
    assert f"repeats run {run_id}: all 20 metrics are identical" in run("-m", "mnist_flow.rerun", f"run_id={run_id}")
    model = mlflow.MlflowClient(f"sqlite:///{copied / 'mlflow.db'}").get_run(run_id).outputs.model_outputs[0].model_id
    load = f"import mlflow; model = mlflow.tensorflow.load_model('models:/{model}'); print(model.output_shape)"
    (copied / "lab").rename(copied / "away")
    assert "(None, 10)" in run("-c", f"import mlflow; mlflow.set_tracking_uri('sqlite:///mlflow.db'); {load}")


LOSS = """
import keras
from mnist_flow.config import Fraction
from mnist_flow.config.train import LossSection


class Config(LossSection):
    width: Fraction


def build_loss(config):
    return lambda y_true, y_pred: keras.ops.relu(config.width - keras.ops.sum(y_true * y_pred, axis=-1))
"""


CLIPPED = """
import keras
from mnist_flow.config import Fraction
from mnist_flow.config.train import LossSection


class Config(LossSection):
    most: Fraction


def build_loss(config):
    def clipped(y_true, y_pred):
        return keras.ops.mean(keras.ops.minimum(keras.ops.square(y_true - y_pred), config.most), axis=(1, 2, 3))

    return clipped
"""


@pytest.mark.slow
@pytest.mark.launchers
def test_an_autoencoder_with_a_loss_of_ones_own_is_killed_resumed_repeated_and_swept_by_submitit(copied, run_command):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs pip install '.[slurm]'")
    (copied / "lab/clipped.py").write_text(CLIPPED, encoding="utf-8")
    (copied / "conf/loss").mkdir()
    (copied / "conf/loss/clipped.yaml").write_text("module: lab.clipped\nname: clipped\nmost: 0.5\n", encoding="utf-8")
    train = (*TRAIN, "data=shapes", "model=autoencoder", "loss=clipped")
    with (copied / "killed.log").open("w") as log:
        killed = start_command(copied, *train, "epochs=40", stdout=log, stderr=log)
        wait_until(lambda: "epoch 6/40" in (copied / "killed.log").read_text())
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    for more in ((), ("tracking.experiment_name=straight",)):
        done = run_command(copied, *train, "epochs=40", *more)
        assert done.returncode == 0, done.stderr
        # The killed run is resumed, not begun anew.
        assert ("epoch 3/40" in done.stdout) == bool(more)
    (resumed,), (straight,) = (fetch_runs(copied, name) for name in ("mnist_flow", "straight"))
    assert resumed.data.metrics["test_loss"] == straight.data.metrics["test_loss"] <= 0.5
    done = run_command(copied, "-m", "mnist_flow.rerun", f"run_id={resumed.info.run_id}")
    assert "metrics are identical" in done.stdout, done.stderr
    sweep = ("-m", "loss.most=0.1,1.0", "epochs=1", "hydra/launcher=submitit_local", "tracking.experiment_name=sweep")
    done = run_command(copied, *train, *sweep)
    assert done.returncode == 0, done.stderr
    assert sorted(run.data.params["loss.most"] for run in fetch_runs(copied, "sweep")) == ["0.1", "1.0"]


LAYER = """

class Scale(layers.Layer):
    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return limit(x * self.factor)


def limit(x):
    return ops.minimum(x, 10)
"""


@pytest.mark.slow
@pytest.mark.launchers
def test_a_layer_of_ones_own_is_measured_and_served_where_its_code_is_not(copied, run_command):
    network = copied / "lab/residual.py"
    code = network.read_text(encoding="utf-8")
    code = code.replace("import Input, Model, layers", "import Input, Model, layers, ops")
    code = code.replace("GlobalAveragePooling2D()(x)", "GlobalAveragePooling2D()(Scale()(x))")
    network.write_text(code + LAYER, encoding="utf-8")
    done = run_command(copied, *TRAIN, *SMALL)
    assert done.returncode == 0, done.stderr
    measured = run_command(copied, "-m", "mnist_flow.evaluate", "measure=rotation", "measure.rotation.degrees=[0]")
    assert measured.returncode == 0, measured.stderr
    shutil.rmtree(copied / "lab")
    (run,) = fetch_runs(copied, "mnist_flow")
    (same,) = fetch_runs(copied, "mnist_flow", "evaluation")
    (model_id,) = [one.model_id for one in run.outputs.model_outputs]
    with serve_model(copied, f"models:/{model_id}") as ask:
        answer = ask({"inputs": np.zeros((2, 28, 28, 1)).tolist()})
    assert np.shape(answer["predictions"]) == (2, 10)
    assert same.data.metrics["rotation_worst_accuracy_at_0_degrees"] == run.data.metrics["test_accuracy"]
