"""Messages about values that Hydra read otherwise than they were meant: they show the argument to type."""

import shlex
import sys

import pytest

from mnist_flow.config.evaluate import EvaluateConfig
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError


def validate(compose_config, *overrides, schema=TrainConfig):
    name = {TrainConfig: "config", EvaluateConfig: "evaluate"}[schema]
    return validate_config(compose_config(*overrides, config_name=name), schema)


def refuse(compose_config, *overrides, schema=TrainConfig):
    with pytest.raises(ConfigError) as refused:
        validate(compose_config, *overrides, schema=schema)
    return str(refused.value)


@pytest.mark.parametrize(
    ("override", "remedy"),
    [
        ("tracking.experiment_name=2024", "as text: \"tracking.experiment_name='2024'\""),
        ("tracking.experiment_name=1e-4", "as text: \"tracking.experiment_name='1e-4'\""),
        ("tracking.experiment_name=true", "as text: \"tracking.experiment_name='true'\""),
        ("tracking.experiment_name=null", "as text: \"tracking.experiment_name='null'\""),
        ("tracking.run_name=0.10", "as text: \"tracking.run_name='0.10'\""),
        ("seed='3'", "say seed=3"),
        ("epochs=1e3", "say epochs=1000"),
        ("reg='0.5'", "say reg=0.5"),
        ("resume=yes", "say resume=true"),
        ("resume=0", "say resume=false"),
        ("tracking.log_model='true'", "say tracking.log_model=true"),
        ("training.checkpoint_dir=None", "say training.checkpoint_dir=null"),
        ("training.threads=None", "say training.threads=null"),
        ("model.hidden_units=200", "as a list: 'model.hidden_units=[200]'"),
        ("model.hidden_units='200,100'", "as a list: 'model.hidden_units=[200,100]'"),
    ],
)
def test_a_value_of_another_type_is_shown_as_it_is_typed(compose_config, monkeypatch, override, remedy):
    monkeypatch.setattr(sys, "argv", ["train.py", "seed=1", override])
    message = refuse(compose_config, "model=mlp", override)
    assert message.endswith(f"; {remedy}")
    validate(compose_config, "model=mlp", *shlex.split(remedy.rpartition(": " if ": " in remedy else "say ")[2]))


def test_lists_of_text_are_shown_as_they_are_typed(compose_config):
    message = refuse(compose_config, "run_ids=[a1,123]", schema=EvaluateConfig)
    assert message == "run_ids[1]=123: must be a valid string; as text: \"run_ids=[a1,'123']\""
    message = refuse(compose_config, "run_ids=123", schema=EvaluateConfig)
    assert message == "run_ids=123: must be a valid list; as a list: \"run_ids=['123']\""


@pytest.mark.parametrize("override", ["epochs=ten", "epochs=1.5", "epochs=None", "reg='nan'", "resume=perhaps"])
def test_what_stands_for_nothing_gets_no_remedy(compose_config, override):
    message = refuse(compose_config, override)
    assert message.startswith(override.replace("'", ""))
    assert ";" not in message


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("training.warm_start=", "must be an id, of letters and digits"),
        ("training.warm_start=runs:/0ab1", "must be an id, of letters and digits"),
        ("model.name='my model'", "must be letters, digits, '_', '.' and '-'"),
        ("tracking.experiment_name=", "must not be empty"),
        ("tracking.register='a/b'", "must be a name without '/', ':' and '@'"),
        ("tracking.alias=a.b", "must be letters, digits, '_' and '-'"),
    ],
)
def test_a_text_of_other_letters_is_told_in_words(compose_config, override, wanted):
    assert refuse(compose_config, override) == f"{override.replace(chr(39), '')}: {wanted}"


def test_an_empty_path_is_none(compose_config, monkeypatch):
    monkeypatch.setenv("MNIST_NPZ", "")
    assert validate(compose_config, "data=mnist").data.path is None
    assert validate(compose_config, "data=digits", "data.path=").data.path is None
    assert validate(compose_config, schema=EvaluateConfig).data.path is None


def test_a_value_that_may_be_of_two_types_is_named_once(compose_config):
    message = refuse(compose_config, "data.holdout_size=0")
    assert message == "data.holdout_size=0: must be greater than or equal to 1 or must be greater than 0"
    message = refuse(compose_config, "epochs=0", "batch_size=0")
    assert message == "epochs=0: must be greater than or equal to 1; batch_size=0: must be greater than or equal to 1"
