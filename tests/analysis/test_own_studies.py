"""Studies that a user adds in a folder of his own, next to ours: a module with its file, and a file alone."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from mnist_flow import analyze
from mnist_flow.errors import Aborted
from synthetic import SyntheticSweep

MODULE = """
from matplotlib.figure import Figure

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.config.analyze import StudySection


class Config(StudySection):
    quantile: float


def draw(runs, study):
    figure = Figure()
    figure.subplots().plot(runs.table["reg"], runs.table["test_accuracy"], "o")
    value = runs.table.groupby("reg")["test_accuracy"].quantile(study.quantile)
    return Drawing({"": figure}, {"": value.reset_index()})
"""
OF_A_MEASURE = """
from mnist_flow.analysis.query import fetch_measured
from mnist_flow.config.analyze import StudySection


class Config(StudySection):
    "No keys of its own."


def draw(runs, study):
    return fetch_measured(runs, "contrast")
"""
FILES = {
    "lab/__init__.py": "",
    "lab/quantiles.py": MODULE,
    "lab/contrast.py": OF_A_MEASURE,
    "conf/study/contrast.yaml": "module: lab.contrast\nname: contrast\nexperiments: [mine]\n",
    "conf/study/quantiles.yaml": "module: lab.quantiles\nname: quantiles\nexperiments: [mine]\nquantile: 0.5\n",
    "conf/study/batches.yaml": (
        "defaults: [compare, _self_]\nname: batches\nexperiments: [mine]\nx: batch_size\nmetric: fit_seconds\n"
        "reference: 64\ntitle: Smaller batches\n"
    ),
}


@pytest.fixture(scope="module")
def store_uri(tmp_path_factory, new_store) -> str:
    """A store with runs of three λ, two seeds and two batch sizes."""
    folder = tmp_path_factory.mktemp("mine")
    shutil.copy(new_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri)
    client.create_experiment("mine", artifact_location=str(folder / "artifacts"))
    sweep = SyntheticSweep(client, "mine", ["data.validation=test"])
    for number, reg in enumerate((0.0, 1e-4, 1e-3)):
        for seed in (0, 1):
            for batch_size in (32, 64):
                seconds = {"fit_seconds": 640 / batch_size + seed}
                sweep.add(0.9 + number / 100 + seed / 1000, reg=reg, seed=seed, batch_size=batch_size, metrics=seconds)
    sweep.end()
    return uri


@pytest.fixture
def run(tmp_path, store_uri, monkeypatch):
    """Runs `analyze` where there are own studies, on the store."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def analyze_own(*overrides: str) -> None:
        arguments = [
            "--config-dir",
            os.fspath(tmp_path / "conf"),
            f"tracking.uri='{store_uri}'",
            "output_dir=out",
            *overrides,
        ]
        monkeypatch.setattr(sys, "argv", ["analyze", *arguments])
        analyze.main()

    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield analyze_own
    # Hydra has set up logging as the command wants it.
    root.handlers, root.level = before
    mlflow.set_tracking_uri(None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab"]:
        del sys.modules[name]


def test_a_module_and_a_file_of_ones_own_are_a_study(run, tmp_path):
    run("study=quantiles")
    assert sorted(path.name for path in Path("out").iterdir()) == [f"quantiles.{end}" for end in ("csv", "png", "svg")]
    table = pd.read_csv(tmp_path / "out/quantiles.csv")
    assert table["reg"].tolist() == [0, 1e-4, 1e-3]
    assert table["test_accuracy"].tolist() == pytest.approx([0.9005, 0.9105, 0.9205])
    run("study=quantiles", "study.quantile=1", "study.filter='params.reg = \"0.001\"'")
    assert pd.read_csv(tmp_path / "out/quantiles.csv")["test_accuracy"].tolist() == pytest.approx([0.921])


def test_the_command_of_a_measure_of_ones_own_names_the_folder_of_its_option(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    conf = tmp_path / "conf"
    with pytest.raises(Aborted) as raised:
        run("study=contrast")
    assert str(raised.value.__cause__) == (
        "study=contrast: no run of mine is measured; measure them: "
        f"python -m mnist_flow.evaluate --config-dir {conf} measure=contrast tracking.experiment_name=mine"
    )


def test_a_file_alone_is_a_study_of_a_metric_over_a_param(run, tmp_path):
    run("study=batches")
    table = pd.read_csv(tmp_path / "out/batches.csv")
    assert table[["batch_size", "n"]].to_numpy().tolist() == [[32, 2], [64, 2]] * 3
    assert table["mean"].tolist() == [20.5, 10.5] * 3
    differences = pd.read_csv(tmp_path / "out/batches_differences.csv")
    assert differences["difference"].tolist() == [10.0] * 3
    assert "Smaller batches" in (tmp_path / "out/batches.svg").read_text()
