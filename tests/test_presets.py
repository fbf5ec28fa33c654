"""The presets: each composes to a valid grid, and has what the reports printed."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from mnist_flow import CONF_DIR
from mnist_flow.config import TrainConfig, validate_config
from mnist_flow.errors import ConfigError
from mnist_flow.presets import list_presets, load_preset

# Every row of the reports' fully connected and convolutional tables.
ROWS = (
    "000-1B 000-2A 000-2B 000-2C 000-2C' 000-3A 000-3B 001-2.3 002-2C 003-2C 004-2.3 001-2.4a 001-2.4b 002-2D 003-2D "
    "003-2D' 004-2.4 000-4A 000-4B 001-3.1 002-3A 003-3 004-3.1-1 004-3.1-2 004-3.1-2'"
)


@pytest.mark.parametrize("name", list_presets())
def test_a_preset_composes_and_its_published_settings_are_in_its_grid(name):
    preset = load_preset(name)
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("config", [f"experiment={name}"], return_hydra_config=True)
        grid = cfg.hydra.sweeper.params
        with open_dict(cfg):
            del cfg["hydra"]
    config = validate_config(cfg, TrainConfig)
    assert config.published == preset.published
    assert config.tracking.experiment_name == preset.experiment_name == name
    assert config.data.validation == ("holdout" if name.endswith("_holdout") else "test")
    for result in preset.published.results:
        for key, value in result.at.items() if result.metric != "shifted_accuracy" else ():
            choices = str(grid[key]).split(",")
            assert value in choices or float(value) in [float(choice) for choice in choices], (key, value)


def test_every_row_of_the_reports_has_a_preset():
    rows = [result.row for name in list_presets() for result in load_preset(name).published.results]
    assert set(rows) == set(ROWS.split())


@pytest.mark.parametrize("name", [name for name in list_presets() if name.endswith("_holdout")])
def test_a_twin_has_the_settings_of_its_study_and_ten_seeds(name):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        study, twin = (
            compose("config", [f"experiment={one}"], return_hydra_config=True).hydra.sweeper.params
            for one in (name.removesuffix("_holdout"), name)
        )
    assert twin["seed"] == "range(10)"
    for key in study.keys() - {"seed"}:
        assert set(str(twin[key]).split(",")) >= set(str(study[key]).split(","))


def test_an_unknown_preset_names_the_choices():
    with pytest.raises(ConfigError, match="experiment=widht: no such preset; did you mean 'width'"):
        load_preset("widht")
