"""Options of a user's own: a module with `Config` and what it does, which a config names."""

from __future__ import annotations

import numpy as np
import pytest
from omegaconf import OmegaConf

from fitting import train_config
from mnist_flow.config.options import find_option, list_options
from mnist_flow.errors import ConfigError
from support import QUICK

NOISE = """
from mnist_flow.config.train import NoiseSection

class Config(NoiseSection):
    level_key = "height"
    height: float
    redraw: bool

def add_noise(images, level, rng):
    return images * 0 + level
"""
AUGMENTATION = """
import numpy as np
from mnist_flow.config.train import AugmentationSection

class Config(AugmentationSection):
    pixels: int

def draw_transforms(config, n, size, rng):
    return np.tile(np.array([1, 0, config.pixels, 0, 1, 0, 0, 0], np.float32), (n, 1))
"""
SCHEDULE = """
from mnist_flow.config.train import ScheduleSection
from mnist_flow.runtime.lazy import keras

class Config(ScheduleSection):
    power: float

def build_schedule(config, learning_rate, steps_per_epoch, epochs):
    return keras.optimizers.schedules.PolynomialDecay(learning_rate, steps_per_epoch * epochs, power=config.power)
"""


@pytest.fixture
def own(tmp_path, monkeypatch, compose_config):
    """Writes a module of a user's own and composes a config in which it is the option of a group."""

    def compose(group, name, code, **options):
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        cfg = compose_config(*QUICK)
        OmegaConf.set_struct(cfg, False)
        cfg[group] = {"name": name, "module": name, **options}
        return cfg

    return compose


def test_noise_of_a_users_own_is_put_on_the_training_images(own):
    """All images are one grey, so nothing can be learned."""
    flat = train_config(own("noise", "grey_images", NOISE, height=0.5, redraw=True)).history
    assert flat[-1]["accuracy"] < 0.2


def test_an_augmentation_of_a_users_own_moves_the_training_images(own):
    """They leave the image, so nothing can be learned."""
    moved = train_config(own("augmentation", "far_away", AUGMENTATION, pixels=28)).history
    still = train_config(own("augmentation", "near_by", AUGMENTATION, pixels=0)).history
    assert moved[-1]["accuracy"] < 0.2 < still[-1]["accuracy"]


def test_a_schedule_of_a_users_own_gives_the_learning_rate(own):
    history = train_config(own("schedule", "straight_down", SCHEDULE, power=1.0)).history
    rates = [metrics["learning_rate"] for metrics in history]
    assert rates == pytest.approx([0.05, 0.0], abs=0.003)
    assert np.all(np.diff(rates) < 0)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("nowhere_at_all", "module=nowhere_at_all: no such module; it must be importable from here"),
        ("json", "module=json: holds no class Config, a mnist_flow.config.OptionSection"),
    ],
)
def test_a_module_that_is_no_option_is_told(module, message):
    with pytest.raises(ConfigError, match=message):
        find_option("mnist_flow.data.noise", "mine", module)


def test_an_unknown_name_is_told_with_the_choices():
    assert list_options("mnist_flow.data.noise") == ["gaussian", "none", "salt_and_pepper"]
    with pytest.raises(
        ConfigError, match=r"^gausian: must be one of gaussian none salt_and_pepper; did you mean 'gaussian'\?$"
    ):
        find_option("mnist_flow.data.noise", "gausian")
