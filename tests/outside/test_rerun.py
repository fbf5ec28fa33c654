"""`rerun` trains again from the logged config alone, and its result agrees."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import mlflow
import pytest

from support import QUICK

TRAIN, RERUN = ("-m", "mnist_flow.train"), ("-m", "mnist_flow.rerun")
TINY = """
name: tiny
family: mlp
hidden_units: [12]
activation: relu
dropout: 0.0
batch_normalization: false
regularized_layers: all
"""
OWN_NOISE = """
from mnist_flow.config.train import NoiseSection


class Config(NoiseSection):
    level_key = "level"

    level: float


def add_noise(images, level, rng):
    return (images + level * rng.random(images.shape)).astype("float32")
"""


def fetch(folder: Path, kind: str = "train") -> list[mlflow.entities.Run]:
    """All runs of a kind, the newest first."""
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    ids = [one.experiment_id for one in client.search_experiments()]
    return list(client.search_runs(ids, f"tags.`mnist_flow.kind` = '{kind}'", order_by=["attributes.start_time DESC"]))


def make_option(folder: Path, group: str, name: str, text: str) -> Path:
    """A config directory of a user's own with one option."""
    (folder / "my conf" / group).mkdir(parents=True, exist_ok=True)
    (folder / "my conf" / group / f"{name}.yaml").write_text(text)
    return folder / "my conf"


def assert_repeated(done, folder: Path) -> mlflow.entities.Run:
    """The newest run repeats the first, which the command says; returns it."""
    assert done.returncode == 0, done.stderr
    newest, *_, first = fetch(folder)
    assert f"repeats run {first.info.run_id}: all " in done.stdout
    assert newest.data.tags["mnist_flow.rerun_of"] == first.info.run_id
    assert newest.data.tags["mnist_flow.rerun_agrees"] == "identical"
    assert newest.data.tags["mnist_flow.fingerprint"] == first.data.tags["mnist_flow.fingerprint"]
    return newest


@pytest.fixture
def tiny(tmp_path, run_command) -> str:
    """The id of a run with a model of a user's own."""
    own = make_option(tmp_path, "model", "tiny", TINY)
    done = run_command(tmp_path, *TRAIN, "--config-dir", str(own), "data=digits", "model=tiny", "epochs=1")
    assert done.returncode == 0, done.stderr
    (run,) = fetch(tmp_path)
    return str(run.info.run_id)


def test_an_option_of_ones_own_is_repeated_without_its_folder_and_with_it(tmp_path, run_command, tiny):
    own = tmp_path / "my conf"
    for arguments in (["--config-dir", str(own)], [f"--config-dir={own}", "tracking.log_model=false"]):
        assert_repeated(run_command(tmp_path, *RERUN, f"run_id={tiny}", *arguments), tmp_path)
    shutil.rmtree(own)
    run = assert_repeated(run_command(tmp_path, *RERUN, f"run_id={tiny}"), tmp_path)
    assert run.data.params["model.hidden_units"] == "[12]"


def test_another_option_of_the_folder_can_be_chosen(tmp_path, run_command, tiny):
    own = make_option(tmp_path, "model", "smaller", TINY.replace("[12]", "[6]").replace("tiny", "smaller"))
    done = run_command(tmp_path, *RERUN, f"run_id={tiny}", "--config-dir", str(own), "model=smaller", "-m")
    assert done.returncode == 0, done.stderr
    # The sweep of it tells the command that makes it again.
    note = fetch(tmp_path, "sweep")[0].data.tags["mlflow.note.content"]
    assert f"`python -m mnist_flow.rerun -m run_id={tiny} model=smaller 'hydra.searchpath=" in note
    assert fetch(tmp_path)[0].data.params["model.hidden_units"] == "[6]"
    assert fetch(tmp_path)[0].data.tags["mnist_flow.rerun_agrees"] == "differs"


def test_a_noise_of_ones_own_is_repeated_where_its_module_is_and_told_where_it_is_not(tmp_path, run_command):
    own = make_option(tmp_path, "noise", "mine", "name: mine\nmodule: my_noise\nlevel: 0.3\n")
    (tmp_path / "my_noise.py").write_text(OWN_NOISE)
    arguments = ("--config-dir", str(own), *QUICK, "noise=mine")
    first = run_command(tmp_path, *TRAIN, *arguments)
    assert first.returncode == 0, first.stderr
    (run,) = fetch(tmp_path)
    shutil.rmtree(own)
    assert_repeated(run_command(tmp_path, *RERUN, f"run_id={run.info.run_id}"), tmp_path)
    (tmp_path / "my_noise.py").unlink()
    gone = run_command(tmp_path, *RERUN, f"run_id={run.info.run_id}")
    assert gone.returncode == 2
    assert gone.stderr.startswith("error: noise.module=my_noise: no such module; it must be importable from here")


@pytest.fixture
def run_id(tmp_path, run_command) -> str:
    """The id of a run in another experiment than its config says."""
    done = run_command(tmp_path, *TRAIN, *QUICK, "noise=gaussian", MLFLOW_EXPERIMENT_NAME="elsewhere")
    assert done.returncode == 0, done.stderr
    (run,) = fetch(tmp_path)
    return str(run.info.run_id)


def test_a_run_is_repeated_where_it_was_logged(tmp_path, run_command, run_id):
    repeated = assert_repeated(run_command(tmp_path, *RERUN, f"run_id={run_id}"), tmp_path)
    assert repeated.info.experiment_id == fetch(tmp_path)[-1].info.experiment_id
    # Unless another place is named.
    done = run_command(tmp_path, *RERUN, f"run_id={run_id}", "tracking.experiment_name=third")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    third = client.get_experiment_by_name("third").experiment_id
    assert assert_repeated(done, tmp_path).info.experiment_id == third


def test_a_run_is_repeated_from_another_folder_by_the_address_of_its_store(tmp_path, run_command, run_id):
    other = tmp_path / "another folder"
    other.mkdir()
    done = run_command(other, *RERUN, f"run_id={run_id}", f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}")
    assert_repeated(done, tmp_path)
    assert os.listdir(other) == []  # noqa: PTH208


def test_an_option_that_was_renamed_since_is_repeated_as_it_was_logged(tmp_path, run_command, run_id):
    """The artifact is changed instead of the project: the run chose an option that is not there any more.

    It is named twice there, as what was chosen and as what was typed.
    """
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (file,) = (tmp_path / "mlruns").glob(f"*/{run_id}/artifacts/config/hydra.yaml")
    text = file.read_text()
    assert (text.count("      noise: gaussian\n"), text.count("    - noise=gaussian\n")) == (1, 1)

    def choose(option):
        file.write_text(text.replace("noise: gaussian\n", f"noise: {option}\n").replace("=gaussian\n", f"={option}\n"))

    choose("normal_noise")
    repeated = assert_repeated(run_command(tmp_path, *RERUN, f"run_id={run_id}"), tmp_path)
    assert client.get_run(repeated.info.run_id).data.params["noise.name"] == "gaussian"
    # A name that leads out of the folder writes nothing.
    choose("../../../../../planted")
    refused = run_command(tmp_path, *RERUN, f"run_id={run_id}")
    assert (refused.returncode, refused.stderr) == (
        2,
        f"error: run_id={run_id}: its artifact config/hydra.yaml is no config\n",
    )


def test_a_run_of_an_experiment_that_is_deleted_is_one_line_with_the_remedy(tmp_path, run_command, run_id):
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment_id = client.get_run(run_id).info.experiment_id
    client.delete_experiment(experiment_id)
    done = run_command(tmp_path, *RERUN, f"run_id={run_id}")
    remedy = f"restore it: mlflow experiments restore --experiment-id {experiment_id}"
    assert (done.returncode, done.stderr) == (
        2,
        f"error: run_id={run_id}: its experiment {experiment_id} is deleted; {remedy}\n",
    )


def test_a_run_that_was_started_from_python_is_repeated(tmp_path, run_command):
    program = (
        "from hydra import compose, initialize_config_dir; from mnist_flow import CONF_DIR; "
        "from mnist_flow.runs.orchestrator import run_experiment\n"
        "with initialize_config_dir(CONF_DIR, version_base='1.3'):\n"
        f"    cfg = compose('config', {[*QUICK, 'optimizer=adam']})\n"
        "run_experiment(cfg)"
    )
    made = run_command(tmp_path, "-c", program)
    assert made.returncode == 0, made.stderr
    (run,) = fetch(tmp_path)
    repeated = assert_repeated(run_command(tmp_path, *RERUN, f"run_id={run.info.run_id}"), tmp_path)
    assert repeated.data.params["optimizer.name"] == "adam"
