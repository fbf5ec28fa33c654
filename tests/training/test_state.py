import dataclasses
import functools

import pytest

from fitting import (
    are_equal,
    build_rate,
    fit,
    load_digits,
    make_mlp,
)
from mnist_flow.data.augmentation.shift import draw_shifts
from mnist_flow.data.noise.gaussian import add_noise as add_gaussian
from mnist_flow.errors import RunError
from mnist_flow.training.checkpoint import CheckpointFolder
from mnist_flow.training.devices import reset_keras
from mnist_flow.training.monitors import Plateau
from mnist_flow.training.optimizers import build_optimizer

# optimizer and schedule, with their options, and what else train_model gets
RESUMED = {
    "sgd-cosine": (("sgd", 0.1, "cosine", None, {"momentum": 0.9}), {}),
    "adam-average-best-stopped": (
        ("adam", 0.1, "constant", 0.9, {}),
        {"keep_best_epoch": True, "early_stopping_patience": 1},
    ),
    "adam-plateau-best": (
        ("adam", 0.1, "plateau", None, {}),
        {"keep_best_epoch": True, "monitor": "val_accuracy"},
    ),
    "sgd-average-stopped": (
        ("sgd", 0.1, "constant", 0.9, {}),
        {"early_stopping_patience": 1, "monitor": "val_accuracy"},
    ),
    "sgd-average": (("sgd", 0.1, "constant", 0.9, {}), {}),
    "sgd-adversarial": (("sgd", 0.1, "constant", None, {}), {"adversarial_radius": 1.0}),
    "rmsprop-stopped": (
        ("rmsprop", 0.1, "constant", None, {}),
        {"early_stopping_patience": 1, "monitor": "val_accuracy"},
    ),
}
EPOCHS = 5
# Epochs after which those that stop early do so.
STOPPED_AFTER = {"adam-average-best-stopped": 3, "sgd-average-stopped": 2, "rmsprop-stopped": 3}


def fit_resumable(case, resume_from=None):
    """Weights, result and states of a training with all that is random."""
    (name, rate, schedule, ema_momentum, options), others = RESUMED[case]
    reset_keras(1)
    model = make_mlp([8], dropout=0.2, batch_normalization=True)
    cosine = {"warmup_epochs": 0.0, "final_fraction": 0.0}
    learning_rate = build_rate(schedule, rate, 4, EPOCHS, **cosine) if schedule == "cosine" else None
    plateau = Plateau(0.5, 1) if schedule == "plateau" else None
    states = []
    _, result = fit(
        load_digits(0, 100),
        load_digits(100, 200),
        model,
        seed=1,
        optimizer=build_optimizer(name, learning_rate or rate, ema_momentum, **options),
        schedule=learning_rate,
        plateau=plateau,
        epochs=EPOCHS,
        corrupt=lambda images, rng: add_gaussian(images, 0.1, rng),
        draw_transforms=lambda n, rng: draw_shifts(n, 2, rng),
        resume_from=resume_from,
        on_state=states.append,
        **others,
    )
    return model.get_weights(), result, states


@functools.cache
def fit_uninterrupted(case):
    return fit_resumable(case)


@pytest.mark.parametrize(
    ("case", "epoch"),
    [(case, epoch) for case in RESUMED for epoch in range(1, STOPPED_AFTER.get(case, EPOCHS) + 1)],
)
def test_a_training_goes_on_bit_for_bit_after_any_epoch(tmp_path, case, epoch):
    """From its checkpoint on disk, as another process finds it."""
    weights, result, states = fit_uninterrupted(case)
    with CheckpointFolder(tmp_path / "run") as checkpoints:
        checkpoints.save(states[epoch - 1])
        resumed_weights, resumed, later = fit_resumable(case, resume_from=checkpoints.load())
    assert are_equal(resumed_weights, weights)
    assert resumed.history == result.history
    assert resumed.selected_epoch == result.selected_epoch
    # So it can be interrupted again.
    assert len(later) == len(states) - epoch
    for state, expected in zip(later, states[epoch:], strict=True):
        assert state.arrays.keys() == expected.arrays.keys()
        assert are_equal(state.arrays.values(), expected.arrays.values())
        assert (state.epoch, state.counters, state.stopped) == (expected.epoch, expected.counters, expected.stopped)


@pytest.mark.parametrize("case", RESUMED)
def test_the_resumed_trainings_stop_early_where_they_should(case):
    _, result, states = fit_uninterrupted(case)
    assert len(result.history) == STOPPED_AFTER.get(case, EPOCHS)
    assert [state.stopped for state in states] == [False] * (len(states) - 1) + [case in STOPPED_AFTER]


def test_a_resumed_training_tells_its_own_epochs_only(train, validation):
    states, epochs, steps = [], [], []
    fit(train, validation, epochs=2, on_state=states.append)
    fit(
        train,
        validation,
        epochs=4,
        resume_from=states[-1],
        on_epoch=lambda epoch, metrics: epochs.append(epoch),
        on_steps=lambda epoch, done, metrics: steps.append((epoch, done)),
    )
    assert epochs == [3, 4]
    assert steps == [(3, 96), (3, 100), (4, 96), (4, 100)]


def test_a_state_is_handed_on_after_the_epoch_is_told(train, validation):
    order = []
    fit(
        train,
        validation,
        on_epoch=lambda epoch, metrics: order.append(("told", epoch)),
        on_state=lambda state: order.append(("state", state.epoch)),
    )
    assert order == [("told", 1), ("state", 1), ("told", 2), ("state", 2)]


def test_the_seconds_of_an_interrupted_training_add_up(train, validation):
    states = []
    _, whole = fit(train, validation, epochs=2, on_state=states.append)
    assert 0 < states[0].fit_seconds < states[1].fit_seconds <= whole.fit_seconds
    before = dataclasses.replace(states[0], fit_seconds=1000.0)
    _, resumed = fit(train, validation, epochs=2, resume_from=before, on_state=states.append)
    assert 1000 < states[-1].fit_seconds <= resumed.fit_seconds < 1100


@pytest.mark.parametrize(
    ("units", "optimizer", "kind"),
    [([9], "sgd", "model"), ([8, 8], "sgd", "model"), ([], "sgd", "model"), ([8], "adam", "optimizer")],
)
def test_the_state_of_another_network_or_optimizer_is_refused(train, validation, units, optimizer, kind):
    states = []
    fit(train, validation, on_state=states.append)
    reset_keras(0)
    with pytest.raises(RunError, match=f"the checkpoint of epoch 2 belongs to another {kind}"):
        fit(
            train,
            validation,
            make_mlp(units),
            optimizer=build_optimizer(optimizer, 0.1),
            epochs=4,
            resume_from=states[-1],
        )
