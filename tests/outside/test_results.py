"""What is outside config, data and code changes no number that a run logs (docs/ENVIRONMENT.md), and From Python."""

from __future__ import annotations

import json
import re
from pathlib import Path

import mlflow
import pytest

from support import PROJECT_DIR, QUICK

TRAIN = ["-m", "mnist_flow.train", *QUICK]
# Where Keras or TensorFlow gets to read it, each changes numbers or ends the command; the last four must not matter.
CHANGING = {
    "KERAS_BACKEND": "",
    "KERAS_MAX_EPOCHS": "",
    "KERAS_NNX_ENABLED": "true",
    "NVIDIA_TF32_OVERRIDE": "0",
    "TF_DETERMINISTIC_OPS": "0",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTRAOP_THREADS": "7",
    "TF_USE_LEGACY_KERAS": "1",
    "XLA_FLAGS": "--xla_dump_to=xla",
    "OMP_NUM_THREADS": "3",
    "ONEDNN_VERBOSE": "0",
    "PYTHONHASHSEED": "7",
    "TZ": "Asia/Tokyo",
}
SETTINGS = {
    "floatx": "float16",
    "epsilon": 0.01,
    "backend": "jax",
    "image_data_format": "channels_first",
    "nnx_enabled": True,
}


def read_trained(folder: Path) -> list[tuple[dict, dict, dict]]:
    """Tags, metrics by epoch, and environment of each training run in a folder's store, the oldest first."""
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.`mnist_flow.kind` = 'train'", order_by=["attributes.start_time ASC"])
    read = []
    for run in runs:
        assert run.info.status == "FINISHED"
        metrics = {
            name: [point.value for point in client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
            if "seconds" not in name
        }
        machine = Path(client.download_artifacts(run.info.run_id, "environment/machine.json", str(folder)))
        read.append((run.data.tags, metrics, json.loads(machine.read_text(encoding="utf-8"))))
    return read


@pytest.fixture(scope="module")
def plain(tmp_path_factory, run_command) -> Path:
    """The folder of a run without any variable, measured as well."""
    folder = tmp_path_factory.mktemp("plain")
    done = run_command(folder, *TRAIN)
    assert done.returncode == 0, done.stderr
    return folder


def test_variables_and_keras_settings_change_no_number(tmp_path, run_command, plain):
    home = tmp_path / "keras"
    home.mkdir()
    (home / "keras.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    done = run_command(tmp_path, *TRAIN, fresh=True, KERAS_HOME=str(home), **CHANGING)
    assert done.returncode == 0, done.stderr
    left_out = (
        "NVIDIA_TF32_OVERRIDE TF_DETERMINISTIC_OPS TF_ENABLE_ONEDNN_OPTS TF_NUM_INTRAOP_THREADS TF_USE_LEGACY_KERAS"
    )
    assert f"left out, because results follow from the config alone: {left_out}\n" in done.stdout + done.stderr
    ((tags, metrics, machine),) = read_trained(tmp_path)
    ((plain_tags, plain_metrics, _),) = read_trained(plain)
    assert metrics == plain_metrics
    assert tags["mnist_flow.fingerprint"] == plain_tags["mnist_flow.fingerprint"]
    assert machine["variables"].items() >= {"OMP_NUM_THREADS": "3", "ONEDNN_VERBOSE": "0"}.items()
    assert machine["instruction_sets"]


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        (TRAIN, {"KERAS_MAX_EPOCHS": "1"}),
        ([*TRAIN, "-m", "seed=0,1", "hydra/launcher=local_pool"], {"KERAS_BACKEND": "jax"}),
        (["-m", "mnist_flow.evaluate"], {"KERAS_MAX_STEPS_PER_EPOCH": "1"}),
        (["-m", "mnist_flow.reproduce"], {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true"}),
    ],
    ids=["train", "sweep", "evaluate", "reproduce"],
)
def test_what_somebody_means_something_by_is_refused_before_anything_is_started(
    tmp_path, run_command, command, variable
):
    done = run_command(tmp_path, *command, **variable)
    ((name, value),) = variable.items()
    assert done.returncode == 2
    assert re.fullmatch(rf"error: {name}={re.escape(value)}: .*; unset {name}\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_the_workers_of_a_sweep_evaluate_and_rerun_heed_no_variable_either(tmp_path, run_command, plain):
    sweep = run_command(tmp_path, *TRAIN, "-m", "seed=0,1", "hydra/launcher=local_pool", fresh=True, **CHANGING)
    assert sweep.returncode == 0, sweep.stderr
    ((_, plain_metrics, _),) = read_trained(plain)
    assert plain_metrics in [metrics for _, metrics, _ in read_trained(tmp_path)]
    measured = []
    for folder, variables in ((tmp_path, CHANGING), (plain, {})):
        run_id = next(
            run.info.run_id
            for run in mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_runs(["1"])
            if run.data.params.get("seed") == "0"
        )
        rerun = run_command(
            folder, "-m", "mnist_flow.rerun", f"run_id={run_id}", "resume=false", fresh=bool(variables), **variables
        )
        assert rerun.returncode == 0, rerun.stderr
        arguments = ["measure=rotation", f"run_ids=['{run_id}']"]
        done = run_command(folder, "-m", "mnist_flow.evaluate", *arguments, fresh=bool(variables), **variables)
        assert done.returncode == 0, done.stderr
        client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        found = client.search_runs(["1"], "tags.`mnist_flow.kind` = 'evaluation'")
        measured.append({name: value for name, value in found[0].data.metrics.items() if "seconds" not in name})
        again = [one for one in read_trained(folder) if one[0].get("mnist_flow.rerun_of") == run_id]
        assert [metrics for _, metrics, _ in again] == [plain_metrics]
    assert measured[0] == measured[1]


def test_the_blocks_of_the_page_run_where_tensorflow_has_worked_already(tmp_path, run_command):
    page = (PROJECT_DIR / "docs" / "PYTHON.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    # The first cell of a notebook with settings of its own.
    before = "import keras, tensorflow as tf\ntf.zeros(1) + 1\n"
    before += "keras.config.set_epsilon(0.01)\nkeras.config.set_max_epochs(1)\n"
    after = "\nprint('predicted', probabilities.shape, len(table))"
    done = run_command(tmp_path, "-c", before + "\n".join(blocks) + after)
    assert done.returncode == 0, done.stderr
    assert (
        "training.threads=1: TensorFlow has worked in this process before, and keeps a thread for each core"
        in done.stderr
    )
    first, *of_sweep = read_trained(tmp_path)
    assert [machine["intra_op_threads"] for _, _, machine in (first, *of_sweep)] == [0, 1, 1, 1]
    assert [len(metrics["loss"]) for _, metrics, _ in (first, *of_sweep)] == [2] * 4
    assert "predicted (360, 10) 4" in done.stdout
    assert (tmp_path / "regularization.png").exists()


def test_in_a_notebook_the_arguments_of_the_kernel_are_left_out(tmp_path, run_command):
    program = """
import sys
from unittest import mock
sys.argv = ["/env/ipykernel_launcher.py", "-f", "/run/kernel.json"]
with mock.patch("mnist_flow.runs.orchestrator.run_experiment", lambda cfg: print("trains", cfg.model.name) or 0.5):
    from mnist_flow.train import main
    main()
"""
    done = run_command(tmp_path, "-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "left out, because they are the notebook's own: -f /run/kernel.json\n"
    assert done.stdout == "trains mlp_500_300\n"
