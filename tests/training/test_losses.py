"""Losses in place of a task's own."""

from __future__ import annotations

import re
from types import ModuleType

import numpy as np
import pytest

from mnist_flow.config.train import LossSection, TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError, RunError
from mnist_flow.jobs.composition import list_replicates
from mnist_flow.runtime.lazy import keras
from mnist_flow.training import objective
from mnist_flow.training.objective import choose_loss, measure_loss
from support import QUICK

TRUE = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
GIVEN = np.array([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]], np.float32)


def test_focal_loss_counts_what_is_certain_less(compose_config):
    def measure(gamma):
        config = validate_config(compose_config(*QUICK, "loss=focal", f"loss.gamma={gamma}"), TrainConfig)
        return measure_loss(choose_loss(config.loss, (2,)), TRUE, GIVEN, 3)

    cross_entropies = -np.log([0.75, 0.5, 0.25])
    assert measure(0) == pytest.approx(cross_entropies.mean(), rel=1e-6)
    assert measure(2) == pytest.approx(np.mean(np.array([0.25, 0.5, 0.75]) ** 2 * cross_entropies), rel=1e-6)


def test_a_loss_is_the_mean_over_the_images_whatever_the_batches(compose_config):
    config = validate_config(compose_config(*QUICK, "loss=mean_squared_error"), TrainConfig)
    loss = choose_loss(config.loss, (2,))
    for size in (1, 2, 3, 100):
        assert measure_loss(loss, TRUE, GIVEN, size) == pytest.approx((0.0625 + 0.25 + 0.5625) / 3)


def test_a_run_without_a_loss_has_neither_param_nor_another_identity(compose_config):
    (plain,) = list_replicates([], validate_config(compose_config(*QUICK), TrainConfig))
    (chosen,) = list_replicates([], validate_config(compose_config(*QUICK, "loss=focal"), TrainConfig))
    assert not [key for key in plain.params if key.startswith("loss")]
    assert {key: chosen.params[key] for key in chosen.params if key.startswith("loss")} == {
        "loss.name": "focal",
        "loss.gamma": 2.0,
    }
    assert plain.identity.fingerprint != chosen.identity.fingerprint


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=focal", "training.label_smoothing=0.1"], "training.label_smoothing=0.1: is of the cross-entropy, and "),
        (["loss=focal", "model=autoencoder"], "loss=focal: is for classification, and model=autoencoder for recons"),
        (["loss=mean_squared_error", "model=cvae"], "loss=mean_squared_error: is for classification and reconst"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(compose_config, overrides, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        validate_config(compose_config("data=digits", *overrides), TrainConfig)


@pytest.fixture
def choose_own(monkeypatch):
    """Builds the loss of a module of a user's own whose `build_loss` gives this."""

    def choose(built):
        module = ModuleType("own")
        module.build_loss = lambda config: built
        monkeypatch.setattr(objective, "find_module", lambda config: module)
        return choose_loss(LossSection(name="own"), (2,))

    return choose


def test_a_function_is_a_loss(choose_own):
    loss = choose_own(lambda y_true, y_pred: keras.ops.max(abs(y_true - y_pred), axis=-1))
    assert measure_loss(loss, TRUE, GIVEN, 2) == pytest.approx((0.25 + 0.5 + 0.75) / 3)


@pytest.mark.parametrize(
    ("built", "message"),
    [
        (3.0, "<lambda> returned float; it must return a keras.losses.Loss, or a function of y_true and y_pred"),
        (lambda y_true, y_pred: None, "<lambda> returned NoneType; it must return one number an image, of the shape"),
        (
            lambda y_true, y_pred: y_pred,
            r"returned EagerTensor of the shape \(2, 2\); it must return one number",
        ),
        (
            keras.losses.MeanSquaredError(reduction="none"),
            r"returned EagerTensor of the shape \(2,\); it must return a loss that gives one number for a batch",
        ),
    ],
)
def test_a_loss_that_is_none_is_told_with_its_place(choose_own, built, message):
    with pytest.raises(RunError, match=rf"test_losses\.py:\d+: .*{message}"):
        choose_own(built)
