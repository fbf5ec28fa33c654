"""The analysis command, in a subprocess."""

from __future__ import annotations

import pandas as pd
import pytest

from support import QUICK, list_imports

ANALYZE = ("-m", "mnist_flow.analyze")


@pytest.fixture(scope="module")
def swept(tmp_path_factory, run_command):
    folder = tmp_path_factory.mktemp("swept")
    done = run_command(folder, "-m", "mnist_flow.train", "-m", *QUICK, "epochs=1", "reg=0,1e-4", "seed=0,1")
    assert done.returncode == 0, done.stderr
    return folder


def test_regularization_is_drawn_saved_and_summarised(swept, run_command):
    done = run_command(swept, *ANALYZE, "output_dir=out", "tracking.experiment_name=mnist_flow")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(swept / "out/regularization-mnist_flow.csv")
    assert list(table["reg"]) == [0, 1e-4]
    assert list(table["n"]) == [2, 2]
    assert (swept / "out/regularization-mnist_flow.png").stat().st_size > 10_000
    assert "4 runs of experiment 'mnist_flow'" in done.stdout


def test_the_analysis_does_not_import_tensorflow(swept, run_command):
    done = run_command(swept, "-X", "importtime", *ANALYZE, "output_dir=out", "tracking.experiment_name=mnist_flow")
    assert done.returncode == 0
    imported = list_imports(done.stderr)
    assert "mlflow" in imported
    assert not imported & {"tensorflow", "keras"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tracking.experiment_name=nothing"], "make some: python -m mnist_flow.train -m reg=1e-6,1e-5,1e-4"),
        (["study=nonsense"], "Choices: ablation cnn compare"),
        (["study.metric=speed"], "study.metric=speed: the runs have no such metric"),
        (["study.filter='params.`model.name` = \"cnn\"'"], "none of the 4 finished runs matches"),
        (["study.filter=nonsense"], "study.filter=nonsense: is no filter of MLflow (Invalid clause"),
        (["output_dir=/proc/figures"], "output_dir=/proc/figures: can't be written"),
    ],
)
def test_bad_input_is_one_line_and_status_2(swept, run_command, arguments, message):
    done = run_command(swept, *ANALYZE, "tracking.experiment_name=mnist_flow", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
