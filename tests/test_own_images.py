"""Data sets other than digits through the commands."""

import json
import re
from pathlib import Path

import mlflow
import numpy as np
import pytest
from PIL import Image

SMALL = ("model=mlp", "model.hidden_units=[8]", "epochs=1", "training.checkpoint_dir=null")


def fetch_only(folder, kind):
    """The one run of a kind in a store."""
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(ids, f"tags.`mnist_flow.kind` = '{kind}'")
    return client, run


def test_pictures_in_colour_are_trained_on_and_measured_where_they_lie(tmp_path, run_command):
    rng = np.random.default_rng(0)
    # Matplotlib would read the first name as mathematics, and fail.
    for name, colour in (("$5_$10", 2), ("red", 0)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 60, (6, 8, 3), dtype=np.uint8)
            pixels[..., colour] += 190
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    done = run_command(tmp_path, "-m", "mnist_flow.train", "data=files", "data.path=pictures", *SMALL, "batch_size=4")
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.endswith(
        "pictures has no test part: 8 of its 40 images are held out as one (data.test_fraction=0.2 data.test_seed=0)"
    )
    _, run = fetch_only(tmp_path, "train")
    assert run.data.params["data.test_fraction"] == "0.2"
    assert run.data.metrics["n_parameters"] == 6 * 8 * 3 * 8 + 8 + 8 * 2 + 2
    # The test part is held out anew, by the params of the run, and found from another folder than the run's.
    elsewhere, store = tmp_path / "elsewhere", f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}"
    elsewhere.mkdir()
    measure = ("measure=rotation", "measure.rotation.degrees=[0.0]")
    done = run_command(elsewhere, "-m", "mnist_flow.evaluate", *measure, store)
    assert done.returncode == 0, done.stderr
    _, evaluation = fetch_only(tmp_path, "evaluation")
    assert evaluation.data.metrics["rotation_mean_accuracy"] == run.data.metrics["test_accuracy"]
    done = run_command(elsewhere, "-m", "mnist_flow.rerun", f"run_id={run.info.run_id}", store)
    assert done.returncode == 0, done.stderr
    assert re.search(r"repeats run \w+: all \d+ metrics are identical", done.stdout)


def test_letters_are_told_by_their_names(tmp_path, run_command):
    done = run_command(tmp_path, "-m", "mnist_flow.train", "data=letters", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "standard error, n = 1,560" in done.stdout
    client, run = fetch_only(tmp_path, "train")
    path = client.download_artifacts(run.info.run_id, "confusion_matrix/confusion_matrix.json", str(tmp_path))
    confusion = json.loads(Path(path).read_text(encoding="utf-8"))
    assert (confusion["rows"], confusion["class_names"]) == ("true class", list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    # There are as many test images of each letter, so the mean of the recalls is the accuracy.
    metrics = run.data.metrics
    assert metrics["test_balanced_accuracy"] == pytest.approx(metrics["test_accuracy"])
