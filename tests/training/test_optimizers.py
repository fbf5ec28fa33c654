import keras
import pytest

from fitting import STILL, build_rate, fit, make_mlp, recorded
from mnist_flow.errors import ConfigError
from mnist_flow.training.devices import reset_keras
from mnist_flow.training.monitors import Plateau
from mnist_flow.training.optimizers import build_optimizer, count_steps


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_these_schedules_leave_the_optimizers_own_rate(schedule):
    options = {"factor": 0.5, "patience": 1, "min_learning_rate": 0.0} if schedule == "plateau" else {}
    assert build_rate(schedule, 0.1, 10, 5, **options) is None


@pytest.mark.parametrize(
    ("final_fraction", "expected"),
    [(0.0, [0.1, 0.05, 0.0, 0.0]), (0.1, [0.1, 0.055, 0.01, 0.01])],
)
def test_cosine_at_start_half_way_end_and_beyond(final_fraction, expected):
    schedule = build_rate("cosine", 0.1, 10, 10, warmup_epochs=0.0, final_fraction=final_fraction)
    assert rates(schedule, [0, 50, 100, 200]) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("warmup_epochs", "steps", "expected"),
    [
        # start, half of the rise, peak, half of the fall, end
        (2.0, [0, 10, 20, 60, 100], [0.0, 0.05, 0.1, 0.05, 0.0]),
        (0.5, [0, 1, 5, 100], [0.0, 0.02, 0.1, 0.0]),
    ],
)
def test_cosine_with_warm_up(warmup_epochs, steps, expected):
    schedule = build_rate("cosine", 0.1, 10, 10, warmup_epochs=warmup_epochs, final_fraction=0.0)
    assert rates(schedule, steps) == pytest.approx(expected, abs=1e-8)


def test_a_warm_up_as_long_as_the_training_only_rises():
    schedule = build_rate("cosine", 0.1, 10, 2, warmup_epochs=2.0, final_fraction=0.0)
    assert rates(schedule, [0, 10, 19]) == pytest.approx([0.0, 0.05, 0.095])


def test_step_falls_after_every_step_epochs():
    schedule = build_rate("step", 0.1, 10, 6, step_epochs=2, factor=0.1)
    assert rates(schedule, [0, 19, 20, 39, 40]) == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("sgd", {"momentum": 0.5, "nesterov": True}, keras.optimizers.SGD),
        ("adam", {"beta_1": 0.8, "beta_2": 0.99}, keras.optimizers.Adam),
        ("adamw", {"beta_1": 0.8, "beta_2": 0.99, "weight_decay": 0.125}, keras.optimizers.AdamW),
        ("rmsprop", {"rho": 0.7, "momentum": 0.25}, keras.optimizers.RMSprop),
    ],
)
def test_an_optimizer_takes_its_options(train, validation, name, options, kind):
    optimizer = build_optimizer(name, 0.01, **options)
    assert type(optimizer) is kind
    config = optimizer.get_config()
    assert {key: config[key] for key in options} == options
    assert config["learning_rate"] == pytest.approx(0.01)
    assert not optimizer.use_ema
    _, result = fit(train, validation, optimizer=optimizer, epochs=3)
    assert result.history[2]["loss"] < result.history[0]["loss"]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.999])
def test_an_optimizer_averages_the_weights(momentum):
    optimizer = build_optimizer("sgd", 0.1, ema_momentum=momentum)
    assert optimizer.use_ema
    assert optimizer.ema_momentum == momentum


@pytest.mark.parametrize(
    ("schedule", "options", "expected"),
    [
        ("constant", {}, [0.1, 0.1, 0.1, 0.1]),
        ("step", {"step_epochs": 1, "factor": 0.5}, [0.1, 0.05, 0.025, 0.0125]),
        # Of 16 steps the last of each epoch: 0.05 (1 + cos(π s / 16)) at s = 3, 7, 11, 15.
        ("cosine", {"warmup_epochs": 0.0, "final_fraction": 0.0}, [0.09157348, 0.05975452, 0.02222149, 0.00096074]),
        # 4 steps of warm-up, then 12 of the cosine at s = 3, 7, 11.
        ("cosine", {"warmup_epochs": 1.0, "final_fraction": 0.0}, [0.075, 0.08535534, 0.03705905, 0.00170371]),
    ],
)
def test_the_history_has_the_learning_rate_of_each_epochs_last_step(train, validation, schedule, options, expected):
    _, result = fit(train, validation, schedule=build_rate(schedule, 0.1, 4, 4, **options), epochs=4)
    assert recorded(result, "learning_rate") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("precision", "minimum", "last"), [("float32", 0.0, 0.25), ("float32", 0.4, 0.4), ("mixed_float16", 0.0, 0.25)]
)
def test_a_plateau_lowers_the_learning_rate(train, validation, precision, minimum, last):
    reset_keras(0, precision)
    _, result = fit(
        train,
        validation,
        model=make_mlp([8]),
        optimizer=build_optimizer("sgd", STILL),
        epochs=4,
        monitor="val_accuracy",
        plateau=Plateau(0.5, 1, minimum * STILL),
    )
    # Epoch 2 is the first without improvement, so that epoch 3 is the first that is slower.
    expected = [STILL, STILL, 0.5 * STILL, last * STILL]
    assert recorded(result, "learning_rate") == pytest.approx(expected, rel=1e-5, abs=0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("momentum", {}, "optimizer.name=momentum: Keras has no such optimizer"),
        # As a preset for another optimizer may leave it.
        ("sgd", {"beta_1": 0.9}, "optimizer=sgd: .*beta_1.*; optimizer.KEY=null leaves a key out"),
    ],
)
def test_an_optimizer_that_keras_has_not_is_told(name, options, message):
    with pytest.raises(ConfigError, match=message):
        build_optimizer(name, 0.1, **options)


@pytest.mark.parametrize(("n", "batch_size", "steps"), [(96, 32, 3), (97, 32, 4), (1, 128, 1), (60_000, 128, 469)])
def test_the_last_smaller_batch_counts_as_a_step(n, batch_size, steps):
    assert count_steps(n, batch_size) == steps
