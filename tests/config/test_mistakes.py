"""What Hydra and YAML refuse, told in one line."""

from __future__ import annotations

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException

from mnist_flow import CONF_DIR
from mnist_flow.config.mistakes import describe_mistake, describe_unreadable


def catch(*overrides: str) -> Exception:
    """What Hydra raises for overrides of the command train."""
    with pytest.raises(Exception) as raised, initialize_config_dir(CONF_DIR, version_base="1.3"):  # noqa: PT011
        compose("config", list(overrides))
    return raised.value


@pytest.mark.parametrize(
    ("typed", "begin", "end"),
    [
        (
            "model=null",
            "model=null: a config group is filled by one of its options; leave it out for the default",
            "leave it out for the default",
        ),
        ("epoch=1", "epoch: unknown key; did you mean 'epochs'", "? --help lists the keys."),
        ("xyzzy=1", "xyzzy: unknown key. --help lists the keys.", "."),
        # Presets have it, but at the top of the config.
        ("experiment.epochs=3", "experiment.epochs: unknown key; did you mean 'epochs'", " the keys."),
        ("+experiment=width,lenet5", "+experiment=width,lenet5: has several values; as a sweep: add -m", ": add -m"),
        ("optimizr.momentum=1", "optimizr.momentum: unknown key; did you mean 'optimizer.momentum'", " the keys."),
        (
            "optimizer.rho=0.5",
            "optimizer.rho: no such key with the chosen optimizer; it belongs to optimizer=rmsprop",
            "=rmsprop",
        ),
        (
            "optimizer.beta_2=0.5",
            "optimizer.beta_2: no such key with the chosen optimizer; it belongs to optimizer=adam or adamw",
            "=adam or adamw",
        ),
        ("model=lenet", "model=lenet: no such option; did you mean 'lenet5'", ""),
        ("optimizer=[nope]", "optimizer=nope: no such option. Choices: adam adamw rmsprop sgd", " rmsprop sgd"),
        ("optimizer=nope", "optimizer=nope: no such option. Choices: adam adamw rmsprop sgd", " rmsprop sgd"),
        ("reg=interval(0)", "reg=interval(0): is no range that Hydra can read; write 'interval(0.001,1)', ", ""),
        ("reg=tag(log,range())", "reg=tag(log,range()): is no range that Hydra can read; write ", "or 'choice(a,b)'"),
        (
            "tracking.experiment_name=a=b:c d}",
            "tracking.experiment_name=a=b:c d}: Hydra can't read the value without quotes; as text: ",
            "\"tracking.experiment_name='a=b:c d}'\"",
        ),
        ("model.hidden_units=[200,100", "model.hidden_units=[200,100: ", "quote lists: 'model.hidden_units=[200,100]'"),
        ("reg=0,1", "reg=0,1: has several values; as a sweep: add -m", "as a sweep: add -m"),
        ("augmentation=shift,affine", "augmentation=shift,affine: has several values; as a sweep: add -m", ": add -m"),
        ("model.hidden_units=9,8", "model.hidden_units=9,8: has ", "add -m, as a list: 'model.hidden_units=[9,8]'"),
        (
            "tracking.experiment_name=a,b",
            "tracking.experiment_name=a,b: has several values; as a sweep: add -m, as text: ",
            "-m, as text: \"tracking.experiment_name='a,b'\"",
        ),
        # Their default is null.
        ("data.folds=2,3", "data.folds=2,3: has several values; as a sweep: add -m", ": add -m"),
        ("zip=reg,epochs", "zip=reg,epochs: has several values; as a sweep: add -m, as a list: ", "'zip=[reg,epochs]'"),
        ("data.path=a,b", "data.path=a,b: has several values; as a sweep: add -m, as text: ", "\"data.path='a,b'\""),
        # Its default is text, of which not every one will do.
        (
            "model.activation=relu,tanh",
            "model.activation=relu,tanh: has several values; as a sweep: add -m",
            ": add -m",
        ),
        (
            "overrides=[data=digits, epochs=1]",
            "overrides=[data=digits, epochs=1]: ",
            "; quote its elements: \"overrides=['data=digits','epochs=1']\"",
        ),
        (
            "overrides=['data=digits', model.hidden_units=[200,100],reg=0.1,0.2]",
            "overrides=['data=digits', model.hidden_units=[200,100],reg=0.1,0.2]: ",
            "; quote its elements: \"overrides=['data=digits','model.hidden_units=[200,100]','reg=0.1,0.2']\"",
        ),
        ("epochs", "epochs: has no value; write epochs=VALUE", "=VALUE"),
        ("model.latent_units=3", "model.latent_units: no such key with the chosen model; it b", "=autoencoder or cvae"),
        (
            "optimizer.lr=1",
            "optimizer.lr: unknown key; did you mean 'optimizer.learning_rate'? --h",
            " lists the keys.",
        ),
    ],
)
def test_what_hydra_refuses_is_told_with_its_remedy(typed, begin, end):
    line = describe_mistake(catch(typed), "config", [typed, "tracking.uri=null", "seed=0"])
    assert line.startswith(begin)
    assert line.endswith(end)
    assert "\n" not in line
    assert "http" not in line


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            ["optimizer=adam", "optimizer.momentum=0.5"],
            "optimizer.momentum: no such key with the chosen optimizer; it belongs to optimizer=rmsprop or sgd",
        ),
        (
            ["model=unet", "model.hidden_units=[9]"],
            "model.hidden_units: no such key with the chosen model; it belongs to model=autoencoder or cnn or cvae or "
            "mlp",
        ),
        (
            ["optimizer=adam", "optimizer.beta1=0.9"],
            "optimizer.beta1: unknown key; did you mean 'optimizer.beta_1' or 'optimizer.beta_2'? --help lists the "
            "keys.",
        ),
        (
            ["noise=gaussian", "noise.std=1"],
            "noise.std: unknown key; did you mean 'noise.stddev' or 'noise.min_stddev'? --help lists the keys.",
        ),
        (
            ["schedule=cosine", "schedule.warmup=3"],
            "schedule.warmup: unknown key; did you mean 'schedule.warmup_epochs'? --help lists the keys.",
        ),
    ],
)
def test_the_keys_of_the_options_that_were_chosen_are_suggested(typed, told):
    assert describe_mistake(catch(*typed), "config", typed) == told
    # In a sweep, those of the first option.
    group, option = typed[0].split("=")
    assert describe_mistake(catch(*typed), "config", ["-m", f"{group}={option},none", typed[1]]) == told
    assert "unknown key" in describe_mistake(catch("model.unit=3"), "config", ["model=nowhere"])


@pytest.mark.parametrize("option", [["--config-dir", "{}"], ["--config-dir={}"], ["hydra.searchpath=[file://{}]"]])
def test_the_keys_of_an_option_of_ones_own_are_suggested(option, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.yaml").write_text("name: mine\nwidth: 3\n")
    typed = [*(text.format(tmp_path) for text in option), "model=mine", "model.widht=3"]
    told = "model.widht: unknown key; did you mean 'model.width'? --help lists the keys."
    assert describe_mistake(catch("model.widht=3"), "config", typed) == told


def test_the_keys_of_a_config_that_was_named_are_suggested(tmp_path):
    """As `rerun` names that of its run, whose options may be a user's own."""
    (tmp_path / "own/model").mkdir(parents=True)
    (tmp_path / "own/model/mine.yaml").write_text("name: mine\nwidth: 3\n")
    (tmp_path / "rerun.yaml").write_text("# @package _global_\ndefaults: [config, {override model: mine}, _self_]\n")
    typed = ["--config-dir", str(tmp_path), "--config-name", "rerun", "model.widht=3"]
    typed.append(f"hydra.searchpath=[file://{tmp_path / 'own'}]")
    told = "model.widht: unknown key; did you mean 'model.width'? --help lists the keys."
    assert describe_mistake(catch("model.widht=3"), "config", typed) == told


@pytest.mark.parametrize(
    ("preset", "told"),
    [
        (
            "defaults: [override /model: mlp]",
            "experiment/mine.yaml: chooses options of other groups, so its first line must be '# @package _global_'",
        ),
        (
            "# @package _global_\ndefaults: [override /modle: mlp]",
            "experiment/mine.yaml: modle: unknown key; did you mean 'model'? --help lists the keys.",
        ),
        (
            "# @package _global_\ndefaults: [model: mlp]",
            "experiment/mine.yaml: its defaults name experiment/model/mlp, and there is no such file; another group's "
            "option is chosen by 'override /model: mlp'",
        ),
        (
            "# @package _global_\ndefaults: [override /model: mpl]",
            "model=mpl: no such option; did you mean 'mlp'? Choices: autoencoder ",
        ),
    ],
)
def test_a_preset_of_ones_own_with_other_defaults_is_told_by_its_name(preset, told, tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(preset)
    typed = [f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine"]
    assert describe_mistake(catch(*typed), "config", typed).startswith(told)


def test_a_section_is_not_suggested_for_itself():
    typed = ["model=mlp_64_64"]
    with pytest.raises(ConfigCompositionException) as raised, initialize_config_dir(CONF_DIR, version_base="1.3"):
        compose("runs", typed)
    assert describe_mistake(raised.value, "runs", typed) == (
        "model: unknown key; did you mean 'model.name'? --help lists the keys."
    )


def test_a_value_behind_a_space_is_joined_to_its_key():
    typed = ["seed=0", "epochs", "3"]
    assert describe_mistake(catch("epochs"), "config", typed) == "epochs: has no value; write epochs=3"
    assert (
        describe_mistake(catch("epochs"), "config", ["epochs", "reg=3"]) == "epochs: has no value; write epochs=VALUE"
    )


def test_several_options_are_a_list_where_the_group_takes_one():
    typed = ["measure=rotation,shift"]
    with pytest.raises(ConfigCompositionException) as raised, initialize_config_dir(CONF_DIR, version_base="1.3"):
        compose("evaluate", typed)
    assert describe_mistake(raised.value, "evaluate", typed, "make a call for each") == (
        "measure=rotation,shift: has several values; as a sweep: make a call for each, "
        "as a list: 'measure=[rotation,shift]'"
    )


@pytest.mark.parametrize(
    ("plugin", "launcher", "extra"),
    [("joblib", "local_pool", "parallel"), ("ray", "ray", "ray"), ("submitit", "slurm", "slurm")],
)
def test_a_launcher_that_is_not_installed_is_told_with_what_installs_it(plugin, launcher, extra):
    error = ValueError(f"Error locating target 'hydra_plugins.hydra_{plugin}_launcher.launcher.X', set env var")
    assert describe_mistake(error, "config", []) == (
        f"hydra/launcher={launcher}: {plugin}'s launcher is not installed; "
        f"in the project's folder: pip install '.[{extra}]'"
    )


def test_anything_else_is_one_line_of_the_librarys_own():
    assert describe_mistake(ValueError("  it is\n\n  wrong\n"), "config", []) == "it is wrong"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a: 1\nb: [1\nc: 2\n", 3, "expected ',' or ']', but got ':' (while parsing a flow sequence BEGINS 2)"),
        ("a: [\n  [1]\n  [2]\n]\n", 3, "expected ',' or ']', but got '[' (while parsing a flow sequence BEGINS 1)"),
        ('a: 1\nb: "1\nc: 2\n', 4, "found unexpected end of stream (while scanning a quoted scalar BEGINS 2)"),
        ("a: 1\nb\nc: 2\n", 3, "could not find expected ':' (while scanning a simple key BEGINS 2)"),
        ("a: 1\n  b: 2\nc: 2\n", 2, "mapping values are not allowed here"),
        ("a: 1\n- b\nc: 2\n", 2, "expected <block end>, but found '-' (while parsing a block mapping BEGINS 1)"),
        ("a: 1\n\tb: 2\n", 2, "found character '\\t' that cannot start any token"),
    ],
)
def test_a_file_that_is_no_yaml_is_told_with_its_line(text, line, told, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(yaml.YAMLError) as raised, file.open() as stream:
        yaml.safe_load(stream)
    told = told.replace("BEGINS", "that begins in line")
    assert describe_unreadable(raised.value) == f"{file}, line {line}: is no YAML: {told}; correct the file"


def test_another_error_than_that_of_a_file_is_none_of_yaml():
    assert describe_unreadable(yaml.YAMLError("no mark")) is None
    assert describe_unreadable(ValueError("another")) is None


def test_a_file_that_is_not_in_utf_8_is_told_by_its_name(tmp_path):
    (tmp_path / "own.yaml").write_bytes("# größer\n".encode("latin-1"))
    with pytest.raises(UnicodeDecodeError) as raised, initialize_config_dir(str(tmp_path), version_base="1.3"):
        compose("own")
    line = describe_unreadable(raised.value)
    assert line.startswith(f"{tmp_path}/own.yaml: is not in UTF-8 (")
    assert line.endswith("; save the file in that encoding")
    # Hydra did not read this one.
    with pytest.raises(UnicodeDecodeError) as raised:
        b"\xf6".decode()
    assert describe_unreadable(raised.value) is None
