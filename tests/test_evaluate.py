"""The evaluation command, in a process of its own."""

from __future__ import annotations

import mlflow
import pytest

from mnist_flow import tracking
from support import QUICK, list_imports

EVALUATE = ("-m", "mnist_flow.evaluate")
SHORT = ["measure=[shift,rotation]", "measure.shift.max_pixels=1", "measure.rotation.degrees=[-10,0,10]"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory, run_command):
    folder = tmp_path_factory.mktemp("swept")
    done = run_command(folder, "-m", "mnist_flow.train", "-m", *QUICK, "epochs=1", "seed=0,1")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def measured(swept, run_command):
    """What the first measurement of both runs printed."""
    done = run_command(swept, *EVALUATE, *SHORT)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def fetch_all(folder):
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    runs = mlflow.search_runs(search_all_experiments=True)
    mlflow.set_tracking_uri(None)
    return runs


def test_two_runs_are_measured_twice_each_below_themselves(swept, measured):
    assert "4 evaluations: 0 done before, 4 to measure" in measured
    assert "\n4 of 4: rotation of seed=1 mlp: mean accuracy 0." in measured
    runs = fetch_all(swept)
    evaluations = runs[runs["tags.mnist_flow.kind"] == "evaluation"]
    assert set(evaluations["status"]) == {"FINISHED"}
    trained = runs.loc[runs["tags.mnist_flow.kind"] == "train", "run_id"]
    assert sorted(evaluations["tags.mlflow.parentRunId"]) == sorted([*trained, *trained])


def test_again_nothing_is_measured_and_tensorflow_is_not_needed(swept, measured, run_command):
    before = len(fetch_all(swept))
    done = run_command(swept, "-X", "importtime", *EVALUATE, *SHORT)
    assert done.returncode == 0
    assert "4 evaluations: 4 done before, 0 to measure" in done.stdout
    assert len(fetch_all(swept)) == before
    assert not list_imports(done.stderr) & {"tensorflow", "keras"}


def test_a_sweep_that_goes_on_does_not_count_evaluations(swept, measured, run_command):
    done = run_command(swept, "-m", "mnist_flow.train", "-m", *QUICK, "epochs=1", "seed=0,1", "plan=true")
    assert done.returncode == 0, done.stderr
    assert "2 done or running, 0 to train" in done.stdout


OWN_MEASURE = """
from matplotlib.figure import Figure
import pandas as pd

from mnist_flow.config import OptionSection, Positive
from mnist_flow.config.evaluate import PartnerConfig
from mnist_flow.evaluation import EvaluationResult

TASKS = ("classification",)
PARTNER_TASKS = {"rival": "classification"}


class Config(OptionSection):
    factors: list[Positive]
    rival: PartnerConfig


def measure(name, config, subject):
    test = subject.data_set.test
    rows = []
    for factor in config.factors:
        models = subject.measured, subject.partners["rival"]
        own, other = (model.predict(test.images * factor).argmax(axis=1) for model in models)
        rows.append({"factor": factor, "n": len(test), "agreement": float((own == other).mean())})
    table = pd.DataFrame(rows)
    figure = Figure()
    figure.add_subplot().plot(table["factor"], table["agreement"])
    worst = {"worst_agreement": table["agreement"].min()}
    return EvaluationResult(worst, {f"tables/{name}.json": table}, {"samples/agreement.png": figure})
"""
OWN_OPTION = """# @package measure.contrast
module: my_measures.contrast
factors: [1.0, 0.2]
rival: {run_id: null, experiment_name: mnist_flow, filter: "params.seed = '1'", choose: best}
"""


@pytest.fixture
def own_measure(swept):
    """A package of a user's own with a measure, and its option in a folder for --config-dir."""
    for path, text in {"my_measures/contrast.py": OWN_MEASURE, "my_conf/measure/contrast.yaml": OWN_OPTION}.items():
        (swept / path).parent.mkdir(parents=True, exist_ok=True)
        (swept / path).write_text(text)
    return [*EVALUATE, "--config-dir", "my_conf", "measure=contrast"]


def test_a_measure_of_ones_own_is_a_module_and_an_option(swept, measured, own_measure, run_command):
    for factors in ("[1.0,0.2]", "[0.2,3.0]"):
        done = run_command(swept, *own_measure, f"measure.contrast.factors={factors}")
        assert done.returncode == 0, done.stderr
        assert "2 of 2: contrast of seed=1 mlp: worst_agreement 1.0000, " in done.stdout
    client = mlflow.MlflowClient(f"sqlite:///{swept / 'mlflow.db'}")
    mlflow.set_tracking_uri(client.tracking_uri)
    experiment_id = client.get_experiment_by_name("mnist_flow").experiment_id
    table = tracking.fetch_tables("contrast", [experiment_id]).set_index(["seed", "factor"])["agreement"]
    mlflow.set_tracking_uri(None)
    assert sorted(table.index) == [(seed, factor) for seed in (0, 1) for factor in (0.2, 1.0, 3.0)]
    # The rival is the run of seed 1.
    assert set(table[1]) == {1.0}
    assert max(table[0]) < 1.0
    newest = client.search_runs([experiment_id], "tags.`mnist_flow.measure` = 'contrast'")[0]
    assert [file.path for file in client.list_artifacts(newest.info.run_id, "samples")] == ["samples/agreement.png"]
    assert newest.data.params["measure.contrast.module"] == "my_measures.contrast"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["measure=shift", "measure.shift.max_pixels=28"], "max_pixels=28: must be at most 27, since images of digits"),
        (["run_ids=[nothing]"], "run nothing: there is no such run at sqlite:///"),
        (["filter=nonsense"], "filter=nonsense: is no filter of MLflow (Invalid clause"),
        (["tracking.experiment_name=nothing"], "make some: python -m mnist_flow.train"),
        (["tracking.uri=http://127.0.0.1:9"], "does not answer"),
        (
            ["measure=shfit"],
            "did you mean 'shift'? Choices: denoising feature_maps files gaussian latent rotation salt_and_pepper "
            "shift synthesis",
        ),
        (["measure=shift", "measure.gaussian.draws=2"], "no such key with the groups that are chosen"),
        (["measure=[]"], "measure: nothing is chosen; choose from denoising feature_maps files gaussian"),
    ],
)
def test_bad_input_is_one_line_and_status_2(swept, run_command, arguments, message):
    done = run_command(swept, *EVALUATE, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("argument", ["run_ids=[nothing]", "measure=[]"])
def test_bad_input_is_told_without_tensorflow(swept, run_command, argument):
    done = run_command(swept, "-X", "importtime", *EVALUATE, argument)
    assert done.returncode == 2
    assert not list_imports(done.stderr) & {"tensorflow", "keras"}


def test_no_store_is_made_by_asking_for_a_run(tmp_path, run_command):
    done = run_command(tmp_path, *EVALUATE, "run_ids=[nothing]")
    assert done.returncode == 2
    assert "no such store" in done.stderr
    assert not list(tmp_path.iterdir())
