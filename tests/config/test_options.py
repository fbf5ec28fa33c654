"""Options of a user's own: a module with `Config` and what it does, which a config names."""

from __future__ import annotations

import re

import numpy as np
import pytest
from omegaconf import OmegaConf

from fitting import train_config
from mnist_flow.config.options import find_option, list_options
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError, RunError
from mnist_flow.jobs.identity import describe_identity, identify
from mnist_flow.runtime.own_code import digest_own_code
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
ADD_NOISE = "def add_noise(images, level, rng):\n    return images"
AUGMENTATION = """
import re

import numpy as np
from mnist_flow.config.train import AugmentationSection

class Config(AugmentationSection):
    pixels: int

def draw_transforms(config, n, size, rng):
    return np.tile(np.array([1, 0, config.pixels, 0, 1, 0, 0, 0], np.float32), (n, 1))
"""
IMAGES = """
import numpy as np
from mnist_flow.config.train import AugmentationSection

class Config(AugmentationSection):
    channels: int

def augment_images(config, images, rng):
    return np.full((*images.shape[:3], config.channels), 0.5)
"""
SCHEDULE = """
from mnist_flow.config.train import ScheduleSection
from mnist_flow.runtime.lazy import keras

class Config(ScheduleSection):
    power: float

def build_schedule(config, learning_rate, steps_per_epoch, epochs):
    return keras.optimizers.schedules.PolynomialDecay(learning_rate, steps_per_epoch * epochs, power=config.power)
"""
DATA = """
from mnist_flow.config.train import DataSection

class Config(DataSection):
    size: int
    contrast: int

def load(path, contrast, size):
    pass
"""
MODEL = """
from mnist_flow.config.train import ModelSection

class Config(ModelSection):
    units: int

def build(config, info):
    pass
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


def test_an_augmentation_of_a_users_own_may_change_the_images_themselves(own):
    """They become one grey, so nothing can be learned; of another shape they are refused before the training begins."""
    flat = train_config(own("augmentation", "made_grey", IMAGES, channels=1)).history
    assert flat[-1]["accuracy"] < 0.2
    with pytest.raises(
        RunError, match=r"colours.py:8: augment_images returned ndarray of the shape \(2, 28, 28, 3\); i"
    ):
        train_config(own("augmentation", "colours", IMAGES, channels=3))


def test_a_schedule_of_a_users_own_gives_the_learning_rate(own):
    history = train_config(own("schedule", "straight_down", SCHEDULE, power=1.0)).history
    rates = [metrics["learning_rate"] for metrics in history]
    assert rates == pytest.approx([0.05, 0.0], abs=0.003)
    assert np.all(np.diff(rates) < 0)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("nowhere_at_all", "module=nowhere_at_all: no such module; it must be importable from here"),
        (".mine", r"module=\.mine: no such module; it must be importable from here"),
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


@pytest.mark.parametrize(
    ("group", "code", "message"),
    [
        ("noise", "import nothing_like_it", r"own.py:1: ModuleNotFoundError: No module named 'nothing_like_it'$"),
        ("noise", "\nx = = 1", r"^noise.module=\w+: can't be imported: .*own.py:2: SyntaxError: invalid syntax$"),
        ("noise", NOISE.replace("add_noise", "add"), r"^noise.module=\w+: .*own.py holds no add_noise; see CONTR"),
        (
            "augmentation",
            AUGMENTATION.replace("draw_", "make_"),
            r"own.py holds no draw_transforms or augment_images; see",
        ),
        ("schedule", SCHEDULE.replace("build_", "make_"), r"own.py holds no build_schedule or build_plateau; see"),
        # What stands beside a Config of this project, or nothing, would be taken for what the module does.
        (
            "noise",
            f"from mnist_flow.data.noise.gaussian import Config\n{ADD_NOISE}",
            r"its Config is mnist_flow\.data\.noise\.gaussian\.Config itself; make it a class of its own: class Config",
        ),
        (
            "noise",
            f"from mnist_flow.config.train import NoiseSection as Config\n{ADD_NOISE}",
            r"its Config is mnist_flow\.config\.train\.NoiseSection itself; ",
        ),
        (
            "noise",
            AUGMENTATION.replace("draw_transforms", "add_noise"),
            r"its class Config must inherit mnist_flow.config.train.NoiseSection$",
        ),
    ],
)
def test_a_module_that_can_not_do_what_it_is_for_is_told_with_file_and_line(own, group, code, message, request):
    name = f"{re.sub('[^a-z]', '_', request.node.name[-30:])}_own"
    with pytest.raises(ConfigError, match=message):
        validate_config(own(group, name, code), TrainConfig)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "mine"}, "model.family: missing; the YAML file of the model must have this key"),
        (
            {"name": "mine", "family": "mine", "unit": 3},
            "model.units: missing; the YAML file of the model must have this key; model.unit: unknown key; did you "
            "mean 'model.units'?",
        ),
        ({"name": "mine", "family": "mine", "module": 3}, "model.module=3: no such module; it must be importable f"),
    ],
)
def test_a_yaml_file_of_ones_own_that_lacks_a_key_is_told_by_its_schema(own, given, message):
    cfg = own("model", "own_network", MODEL)
    cfg.model = {"module": "own_network", **({} if "unit" in given else {"units": 3}), **given}
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        validate_config(cfg, TrainConfig)


@pytest.mark.parametrize(
    ("group", "code", "wrong", "right"),
    [
        ("noise", NOISE, "add_noise(images)", "add_noise(images, level, rng)"),
        ("model", MODEL, "build(config)", "build(config, info)"),
        ("model", MODEL, "build(config, info, units)", "build(config, info)"),
        ("augmentation", IMAGES, "augment_images()", "augment_images(config, images, rng)"),
        ("data", DATA, "load(path)", "load(path, contrast, size)"),
        ("data", DATA, "load(path, contrast, scale)", "load(path, contrast, size)"),
    ],
)
def test_a_function_that_takes_other_arguments_is_told_before_anything_starts(own, group, code, wrong, right, request):
    name = f"{group}_{request.node.callspec.indices['wrong']}_called"
    assert f"def {right}:" in code
    line = code[: code.index(f"def {right}")].count("\n") + 1
    function = right.partition("(")[0]
    told = rf"^{group}.module={name}: .*{name}.py:{line}: {function} must be a function {re.escape(right)}$"
    with pytest.raises(ConfigError, match=told):
        validate_config(own(group, name, code.replace(right, wrong)), TrainConfig)


def test_a_helper_with_the_name_of_another_options_function_is_left_alone(own):
    cfg = own("model", "own_helper", f"{MODEL}\ndef load():\n    pass\n", units=3, family="mine")
    assert validate_config(cfg, TrainConfig).model.units == 3


@pytest.mark.parametrize("line", ['level_key = "depth"', "pass"])
def test_a_noise_without_a_level_is_refused_instead_of_left_out(own, line):
    name = f"flat_{line[0]}"
    code = NOISE.replace('    level_key = "height"', f"    {line}")
    with pytest.raises(
        ConfigError, match=rf"noise.module={name}: its Config must name the key that is the noise level"
    ):
        validate_config(own("noise", name, code, height=0.5, redraw=True), TrainConfig)


def test_the_code_of_an_own_option_is_part_of_a_runs_identity(own, tmp_path):
    config = validate_config(own("noise", "grey_again", NOISE, height=0.5, redraw=True), TrainConfig)
    before = identify(config, "")
    assert describe_identity(config, "")["noise.code"] == digest_own_code("grey_again")
    assert identify(config, "") == before
    (tmp_path / "grey_again.py").write_text(NOISE.replace("+ level", "- level"))
    digest_own_code.cache_clear()
    assert identify(config, "").fingerprint != before.fingerprint
