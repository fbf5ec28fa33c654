"""What a notebook asks for: the config it gets, and the one line of each mistake."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import hydra
import mlflow
import pytest

import mnist_flow
from mnist_flow import CONF_DIR
from mnist_flow.api import composition
from mnist_flow.api.composition import composed
from mnist_flow.config.overrides import begin_command
from mnist_flow.errors import ConfigError

TINY = ["data=digits", "model=mlp", "model.hidden_units=[8]", "epochs=1"]
NETWORK = """
import keras
from mnist_flow.config.train import ModelSection

class Config(ModelSection):
    units: int

def build(config, info):
    images = keras.Input(info.input_shape)
    hidden = keras.layers.Dense(config.units, {activation!r})(keras.layers.Flatten()(images))
    return keras.Model(images, keras.layers.Dense(info.n_classes, "softmax")(hidden))
"""


def test_importing_the_package_imports_nothing_that_takes_time():
    heavy = "{'hydra', 'keras', 'matplotlib', 'mlflow', 'numpy', 'pandas', 'pydantic', 'tensorflow'}"
    program = f"import sys, mnist_flow; print({heavy} & sys.modules.keys() or 'nothing', *dir(mnist_flow)[:1])"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.startswith("nothing")


def test_a_function_can_be_called_where_the_module_of_its_name_is_imported_too():
    for name in ("train", "evaluate"):
        assert importlib.import_module(f"mnist_flow.{name}").main
        with pytest.raises(ConfigError, match=r"^nonsense: unknown key"):
            getattr(mnist_flow, name)("nonsense=1")


def test_commands_that_a_function_tells_have_the_folder_of_own_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my conf").mkdir()
    with composed("analyze", ["study=curves"], "my conf"):
        assert begin_command("evaluate") == f"python -m mnist_flow.evaluate --config-dir '{tmp_path}/my conf'"
        with composed("analyze", ["study=curves"], None):
            assert begin_command("evaluate") == "python -m mnist_flow.evaluate"
    assert begin_command("evaluate") == "python -m mnist_flow.evaluate"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ("mode=mlp", "mode: unknown key; did you mean 'model'? --help lists the keys."),
        ("epochs=x", "epochs=x: must be a valid integer"),
        (["model=null"], "model=null: a config group is filled by one of its options; leave it out for the default"),
        ("reg='", "overrides=reg=': No closing quotation; close the quote"),
        ("reg=1,2", "reg=1,2: has several values; as a sweep: call mnist_flow.sweep"),
        ("replicates=3", "replicates=3: is for sweeps; call mnist_flow.sweep"),
        ("data=digits plan=true", "plan=true: makes no run; mnist_flow.sweep takes it"),
        ("-m epochs=1,2", "-m: is an option of the command line; leave it out, mnist_flow.sweep is for sweeps"),
        (
            "--config-dir own",
            "--config-dir: is an option of the command line; leave it out, config_dir='FOLDER' says the same",
        ),
        (["--cfg", "job"], "--cfg: is an option of the command line; leave it out"),
        (3, "overrides=3: must be one text, or a list of them, such as ['epochs=2', 'reg=0']"),
        ({"epochs": 1}, "overrides={'epochs': 1}: must be one text, or a list of them, such as ['epochs=2', 'reg=0']"),
        ([1, 2], "overrides=[1, 2]: must be one text, or a list of them, such as ['epochs=2', 'reg=0']"),
    ],
)
def test_a_mistake_is_an_error_of_the_project_with_the_line_of_the_command(overrides, line):
    with pytest.raises(ConfigError) as raised:
        mnist_flow.train(overrides)
    assert str(raised.value) == line
    # Nothing of Hydra's or Pydantic's is told above it.
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_where_every_traceback_is_wanted_it_is_told(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ConfigError) as raised:
        mnist_flow.train("model=moon")
    assert type(raised.value.__cause__).__name__ == "MissingConfigException"


def test_a_folder_of_options_that_is_not_there_is_told():
    with pytest.raises(ConfigError, match=r"^config_dir=elsewhere: no such folder$"):
        mnist_flow.train(TINY, config_dir="elsewhere")


def test_hydra_that_the_notebook_has_initialized_for_itself_stays_so():
    with hydra.initialize_config_dir(CONF_DIR, version_base="1.3"):
        with composed("analyze", ["study=curves"], None) as cfg:
            assert cfg.study.name == "curves"
        assert "epochs" in hydra.compose("config")


def test_another_tracking_uri_than_the_notebook_has_set_is_refused(store, tmp_path):
    uri = mlflow.get_tracking_uri()
    assert os.environ["MLFLOW_TRACKING_URI"] == uri
    with pytest.raises(ConfigError) as raised:
        mnist_flow.train([*TINY, "tracking.uri=sqlite:///other.db"])
    for look_up in (mnist_flow.runs, lambda uri: mnist_flow.run("abc", uri=uri)):
        with pytest.raises(ConfigError, match=rf"^uri=sqlite:///other.db: MLflow is set to {uri} here; leave uri out"):
            look_up(uri="sqlite:///other.db")
    told = f"tracking.uri=sqlite:///other.db: MLflow is set to {uri} here; leave tracking.uri out, or call "
    assert str(raised.value) == told + "mlflow.set_tracking_uri('sqlite:///other.db')"
    assert not (tmp_path / "other.db").exists()
    with composed("config", [*TINY, "tracking.uri=sqlite:///mlflow.db"], None):
        pass  # The same one, in other words.


def test_own_code_that_was_changed_is_another_run_and_its_folder_of_options_is_found(store, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    options = tmp_path / "conf" / "model"
    options.mkdir(parents=True)
    (options / "quick.yaml").write_text("name: quick\nfamily: quick\nmodule: quick_network\nunits: 4\n")
    network = tmp_path / "quick_network.py"
    overrides = ["data=digits", "model=quick", "epochs=1"]
    ids, activations = [], []
    for activation in ("relu", "tanh", "tanh"):
        network.write_text(NETWORK.format(activation=activation))
        made = mnist_flow.train(overrides, config_dir=tmp_path / "conf")
        ids.append(made.run_id)
        activations.append(made.load_model().layers[2].activation.__name__)
    assert activations == ["relu", "tanh", "tanh"]
    assert ids[0] != ids[1]
    assert ids[1] == ids[2]


@pytest.mark.parametrize(
    ("notes", "told"),
    [
        (["the same command goes on from its last epoch", "the same command goes on"], ["the same call goes on"]),
        (["the same command goes on"], ["the same call goes on"]),
        ([], []),
    ],
)
def test_an_interruption_tells_what_the_outermost_block_says(notes, told):
    ending = KeyboardInterrupt()
    for note in notes:
        ending.add_note(note)
    with pytest.raises(KeyboardInterrupt) as raised, composition._interruption_reworded():
        raise ending
    assert getattr(raised.value, "__notes__", []) == told
