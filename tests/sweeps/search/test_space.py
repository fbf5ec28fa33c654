"""What overrides mean as a space, in literal values."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial

from mnist_flow.errors import ConfigError
from mnist_flow.sweeps.search.space import read_distribution, read_space

CONFIGS = {
    "sgd": {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.0}, "reg": 0.0},
    "adam": {"optimizer": {"name": "adam", "learning_rate": 0.001}, "reg": 0.0},
}


def compose(overrides):
    """A config with one group, as Hydra would compose it."""
    chosen = [text.removeprefix("optimizer=") for text in overrides if text.startswith("optimizer=")]
    return OmegaConf.create(CONFIGS[chosen[-1] if chosen else "sgd"])


def read(*overrides):
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return read_space(parsed, lambda text: text.startswith("optimizer="))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("reg=interval(0,0.5)", FloatDistribution(0.0, 0.5)),
        ("reg=tag(log,interval(0.001,1))", FloatDistribution(0.001, 1.0, log=True)),
        ("epochs=int(interval(5,20))", IntDistribution(5, 20)),
        ("epochs=tag(log,int(interval(5,20)))", IntDistribution(5, 20, log=True)),
        ("batch_size=range(32,257,32)", IntDistribution(32, 256, step=32)),
        ("epochs=range(1,10,2)", IntDistribution(1, 9, step=2)),
        ("epochs=range(9,0,-4)", IntDistribution(1, 9, step=4)),
        ("epochs=tag(log,range(1,10))", IntDistribution(1, 9, log=True)),
        ("reg=range(0,1,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("reg=1e-6,1e-5", CategoricalDistribution(["1e-06", "1e-05"])),
        ("model.hidden_units=choice([100],[500,300])", CategoricalDistribution(["[100]", "[500,300]"])),
    ],
)
def test_hydras_sweeps_are_optunas_distributions(override, expected):
    assert read_distribution(OverridesParser.create().parse_override(override)) == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("reg=interval(1,0)", r"reg=interval\(1,0\): the range is empty"),
        ("reg=interval(1,1)", r"reg=interval\(1,1\): the range is empty; its start must be below its end"),
        ("epochs=range(5,5)", r"epochs=range\(5,5\): the range is empty"),
        ("reg=tag(log,interval(0,1))", "a logarithm needs a range above 0, and this one begins at 0"),
        ("epochs=tag(log,range(1,10,2))", r"a logarithmic range has no steps; tag\(log,int\(interval\(1,9\)\)\)"),
        ("reg=tag(exp,interval(0,1))", "tag exp is unknown to a search; known: log"),
        ("reg=0.1", "nothing is to be searched; give a key a range"),
        ("seed=range(3)", "seed: is not for a search to choose; replicates=3"),
        ("experiment=a,b", "experiment: is not for a search to choose; a search has one preset"),
        (
            "data.fold=range(5)",
            r"data\.fold: is not for a search to choose; all trials are measured by the same images",
        ),
        ("+data.split_seed=1,2", r"data\.split_seed: is not for a search to choose"),
        ("tracking.patience=interval(0,1)", r"tracking\.patience: .*, since it changes no result; give it one value"),
    ],
)
def test_what_is_no_space_is_told_in_a_line(override, message):
    with pytest.raises(ConfigError, match=message):
        read(override)


def test_a_search_takes_no_pairs_of_values():
    with pytest.raises(ConfigError, match="zip: pairs the values of a grid"):
        read("reg=interval(0,1)", "zip=[reg,seed]")


def test_a_key_that_the_chosen_option_does_not_have_is_left_out():
    space = read("optimizer.momentum=interval(0,0.9)", "optimizer=sgd,adam", "epochs=3", "reg=interval(0,1)")
    values = {"optimizer.momentum": 0.5, "reg": 0.25}
    with_sgd = space.suggest(FixedTrial({**values, "optimizer": "sgd"}), compose)
    assert space.list_overrides(with_sgd) == ["epochs=3", "optimizer=sgd", "optimizer.momentum=0.5", "reg=0.25"]
    with_adam = space.suggest(FixedTrial({**values, "optimizer": "adam"}), compose)
    assert space.list_overrides(with_adam) == ["epochs=3", "optimizer=adam", "reg=0.25"]
    space.check(compose)


def test_a_key_that_no_option_has_is_refused():
    with pytest.raises(ConfigError, match=r"optimizer\.momentun: no config of this space has such a key"):
        read("optimizer.momentun=interval(0,0.9)", "optimizer=sgd,adam").check(compose)
    with pytest.raises(ConfigError, match=r"optimizer\.momentum: no config"):
        read("optimizer.momentum=interval(0,0.9)", "optimizer=adam").check(compose)


def test_the_last_of_two_overrides_counts():
    space = read("reg=interval(0,1)", "epochs=1,2", "reg=0.5")
    assert space.fixed == ("reg=0.5",)
    assert list(space.dimensions) == ["epochs"]


def test_a_space_has_its_keys_as_they_were_typed():
    space = read("reg=range(0.5,1.0,0.1)", "epochs=range(5,6)", "optimizer=sgd,adam", "batch_size=8")
    assert space.typed == ("optimizer=sgd,adam", "reg=range(0.5,1.0,0.1)", "epochs=range(5,6)")
