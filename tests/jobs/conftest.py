"""Hydra's config loader, and the configs that it composes for whole sweeps."""

from __future__ import annotations

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from mnist_flow import CONF_DIR


@pytest.fixture
def hydra():
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture
def compose_sweep(hydra):
    """Overrides → what Hydra composes for the whole sweep on the digits."""

    def compose(*overrides):
        return hydra.load_configuration("config", ["data=digits", *overrides], run_mode=RunMode.MULTIRUN)

    return compose


@pytest.fixture
def preset(tmp_path):
    """Write a preset of an experiment; returns the override with which Hydra finds it."""

    def write(text):
        folder = tmp_path / "presets"
        (folder / "experiment").mkdir(parents=True, exist_ok=True)
        (folder / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}")
        return f"hydra.searchpath=[file://{folder}]"

    return write
