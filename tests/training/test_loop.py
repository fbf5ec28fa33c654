import math

import keras
import numpy as np
import pytest

from fitting import STILL, fit, make_mlp, measure, recorded
from mnist_flow.data.dataset import Images
from mnist_flow.data.noise.gaussian import add_noise as add_gaussian
from mnist_flow.errors import DivergedError
from mnist_flow.models.regularization import add_l2_penalty
from mnist_flow.training.devices import reset_keras
from mnist_flow.training.optimizers import build_optimizer

# Which epoch's weights the model ends with


def test_the_model_ends_with_the_last_epoch(train, mislabelled):
    model, result = fit(train, mislabelled, epochs=4)
    assert result.selected_epoch == 4
    assert result.selected == result.history[3]
    assert result.selected["val_loss"] == measure(model, mislabelled)["loss"]
    assert result.fit_seconds > 0


@pytest.mark.parametrize(
    ("monitor", "best", "patience"), [("val_loss", min, None), ("val_loss", min, 2), ("val_accuracy", max, None)]
)
def test_the_best_epochs_weights_can_be_kept(train, mislabelled, monitor, best, patience):
    model, result = fit(
        train, mislabelled, epochs=6, monitor=monitor, keep_best_epoch=True, early_stopping_patience=patience
    )
    values = recorded(result, monitor)
    assert result.selected_epoch == values.index(best(values)) + 1 < len(values)
    measured = measure(model, mislabelled)
    assert (measured["loss"], measured["accuracy"]) == (result.selected["val_loss"], result.selected["val_accuracy"])


def test_early_stopping_stops_after_patience_epochs_without_improvement(train, validation):
    optimizer = build_optimizer("sgd", STILL)
    _, result = fit(train, validation, optimizer=optimizer, epochs=9, monitor="val_accuracy", early_stopping_patience=2)
    assert len(result.history) == 3
    assert result.selected_epoch == 3


def test_early_stopping_lets_a_training_that_improves_go_on(train):
    _, result = fit(train, train, optimizer=build_optimizer("sgd", 0.01), epochs=5, early_stopping_patience=1)
    assert len(result.history) == 5


@pytest.mark.parametrize(
    ("precision", "options", "stops_early"),
    [
        ("float32", {}, False),
        ("float32", {"keep_best_epoch": True}, False),
        ("float32", {"early_stopping_patience": 2}, True),
        ("float32", {"early_stopping_patience": 2, "keep_best_epoch": True}, True),
        ("mixed_float16", {}, False),
    ],
    ids=["last", "best", "stopped", "stopped-best", "mixed_float16"],
)
def test_the_model_ends_with_the_averaged_weights_that_were_validated(
    train, mislabelled, precision, options, stops_early
):
    reset_keras(0, precision)
    optimizer = build_optimizer("sgd", 0.1, ema_momentum=0.8)
    model, result = fit(train, mislabelled, make_mlp([8]), optimizer=optimizer, epochs=8, **options)
    assert (len(result.history) < 8) == stops_early
    # Keras swaps the weights in place by addition, which rounds the last bits.
    assert measure(model, mislabelled)["loss"] == pytest.approx(result.selected["val_loss"], rel=1e-5)


def test_the_average_of_the_weights_follows_its_formula(validation):
    """One step an epoch; 0.9 of the average and 0.1 of the new weights, beginning with those after the first step."""
    image = Images(validation.images[:1], validation.labels[:1])
    after = []
    reset_keras(0)
    plain = make_mlp([8])
    fit(image, image, plain, epochs=3, on_epoch=lambda *_: after.append(plain.get_weights()[-1]))
    average, _ = fit(image, image, optimizer=build_optimizer("sgd", 0.1, ema_momentum=0.9), epochs=3)
    expected = 0.9 * (0.9 * after[0] + 0.1 * after[1]) + 0.1 * after[2]
    np.testing.assert_allclose(average.get_weights()[-1], expected, atol=1e-6)
    assert np.abs(after[2] - expected).max() > 1e-3


# The loss


def build_constant_classifier():
    """Gives digit 0 the probability 0.91 and each other 0.01, whatever the image."""
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    model.layers[-1].set_weights([np.zeros((784, 10)), np.log([0.91] + [0.01] * 9)])
    return model


@pytest.mark.parametrize(
    ("label_smoothing", "loss"),
    [
        (0.0, 0.09431068),  # -ln 0.91
        (0.1, 0.50028804),  # -0.91 ln 0.91 - 0.09 ln 0.01
        (0.5, 2.12419746),  # -0.55 ln 0.91 - 0.45 ln 0.01
    ],
)
def test_label_smoothing_spreads_a_share_of_the_target(label_smoothing, loss):
    zeros = Images(np.zeros((40, 28, 28, 1), np.float32), np.zeros(40, np.int64))
    optimizer = build_optimizer("sgd", STILL)
    _, result = fit(zeros, zeros, build_constant_classifier(), optimizer=optimizer, label_smoothing=label_smoothing)
    assert recorded(result, "loss") == pytest.approx([loss, loss], rel=1e-5)
    assert recorded(result, "accuracy") == [1, 1]


@pytest.mark.parametrize(
    ("class_weights", "loss"),
    [
        (None, 1.22202542),  # -(30 ln 0.91 + 10 ln 0.01) / 40
        ("balanced", 2.34974043),  # -(ln 0.91 + ln 0.01) / 2
    ],
)
def test_balanced_classes_count_alike_in_the_loss_of_training_alone(class_weights, loss):
    images = Images(np.zeros((40, 28, 28, 1), np.float32), np.repeat([0, 1], [30, 10]))
    optimizer = build_optimizer("sgd", STILL)
    _, result = fit(images, images, build_constant_classifier(), optimizer=optimizer, class_weights=class_weights)
    assert recorded(result, "loss") == pytest.approx([loss, loss], rel=1e-5)
    assert recorded(result, "val_loss") == pytest.approx([1.22202542] * 2, rel=1e-5)
    assert recorded(result, "accuracy") == [0.75, 0.75]


def test_the_loss_includes_the_l2_penalty(train, validation):
    metrics = []
    for reg in (0.0, 0.01):
        reset_keras(0)
        model = make_mlp([8])
        add_l2_penalty(model, reg)
        _, result = fit(train, validation, model, optimizer=build_optimizer("sgd", STILL), epochs=1)
        metrics.append(result.history[0])
    penalty = 0.01 * np.sum(np.square(model.get_layer("dense_1").get_weights()[0]))
    assert penalty > 0.05
    for name in ("loss", "val_loss"):
        assert metrics[1][name] - metrics[0][name] == pytest.approx(penalty, rel=1e-4)


@pytest.mark.parametrize("reg", [0.0, 0.01])
def test_a_smaller_reg_is_the_advice_only_where_there_is_a_penalty(train, validation, reg):
    model = make_mlp([8])
    add_l2_penalty(model, reg)
    with pytest.raises(DivergedError) as raised:
        fit(train, validation, model, optimizer=build_optimizer("sgd", 1e38), epochs=1)
    assert ("a smaller reg, " in str(raised.value)) == (reg > 0)


@pytest.mark.parametrize("steps_per_execution", [1, 32])
def test_a_huge_learning_rate_is_told_with_the_epoch(train, validation, steps_per_execution):
    optimizer = build_optimizer("sgd", 1e38)
    with pytest.raises(DivergedError, match=r"the loss became (nan|inf) in epoch 1: try a smaller optimizer\.learn"):
        fit(train, validation, optimizer=optimizer, steps_per_execution=steps_per_execution)


def test_a_loss_that_is_lost_later_is_told_with_its_epoch(train, validation):
    calls = []

    def spoil_third_epoch(images, rng):
        calls.append(len(images))
        return images * np.float32(math.nan) if len(calls) > 8 else images

    epochs = []
    with pytest.raises(DivergedError, match="the loss became nan in epoch 3"):
        fit(
            train,
            validation,
            make_mlp([]),
            epochs=5,
            corrupt=spoil_third_epoch,
            on_epoch=lambda epoch, metrics: epochs.append(epoch),
        )
    assert epochs == [1, 2]


def test_a_validation_loss_that_is_lost_is_told(train, validation):
    broken = Images(validation.images * np.float32(math.nan), validation.labels)
    with pytest.raises(DivergedError, match="the loss became nan in epoch 1"):
        fit(train, broken, make_mlp([]))


# Listeners


@pytest.mark.parametrize(
    ("steps_per_execution", "images_done"), [(1, [32, 64, 96, 100]), (2, [64, 96, 100]), (32, [96, 100])]
)
def test_listeners_hear_of_steps_and_epochs(train, validation, steps_per_execution, images_done):
    steps, epochs = [], []
    _, result = fit(
        train,
        validation,
        steps_per_execution=steps_per_execution,
        on_steps=lambda epoch, done, metrics: steps.append((epoch, done, dict(metrics))),
        on_epoch=lambda epoch, metrics: epochs.append((epoch, dict(metrics))),
    )
    assert [(epoch, done) for epoch, done, _ in steps] == [(epoch, done) for epoch in (1, 2) for done in images_done]
    assert epochs == [(1, result.history[0]), (2, result.history[1])]
    assert set(result.history[0]) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    # The running metrics of an epoch's last steps are the epoch's.
    epoch, _, metrics = steps[-1]
    assert epoch == 2
    assert float(metrics["loss"]) == pytest.approx(result.history[1]["loss"])


@pytest.mark.parametrize(
    ("steps_per_execution", "images_done"), [(1, [32, 64, 96, 100]), (2, [64, 100]), (3, [96, 100]), (32, [100])]
)
def test_listeners_hear_of_steps_with_noise_too(train, validation, steps_per_execution, images_done):
    steps = []
    fit(
        train,
        validation,
        epochs=1,
        corrupt=lambda images, rng: add_gaussian(images, 0.1, rng),
        steps_per_execution=steps_per_execution,
        on_steps=lambda epoch, done, metrics: steps.append(done),
    )
    assert steps == images_done
