"""Histories of trainings as they were before the loop was written out, with Keras's own `fit` (commit 59656ea).

Their last bits depend on the processor, so they are compared to six digits; on one machine they were equal bit for bit.
"""

from __future__ import annotations

import pytest

from fitting import train_config

MLP = ["model=mlp", "model.hidden_units=[16]"]
# Overrides; the epoch that was selected, the number of epochs, and of the last epoch loss, val_loss, learning_rate.
PINNED: dict[str, tuple[list[str], int, int, tuple[float, float, float]]] = {
    "sgd": ([*MLP, "epochs=3"], 3, 3, (0.6359882, 0.5303354, 0.1)),
    "sgd_momentum_l2": (
        [*MLP, "epochs=3", "optimizer.momentum=0.9", "optimizer.nesterov=true", "reg=1e-3"],
        3,
        3,
        (1.539778, 1.484179, 0.1),
    ),
    "adam": ([*MLP, "epochs=3", "optimizer=adam"], 3, 3, (1.314836, 1.183188, 0.001)),
    "adamw": ([*MLP, "epochs=3", "optimizer=adamw", "optimizer.weight_decay=0.01"], 3, 3, (1.316037, 1.184302, 0.001)),
    "rmsprop": ([*MLP, "epochs=3", "optimizer=rmsprop", "optimizer.momentum=0.5"], 3, 3, (0.7008567, 0.546729, 0.001)),
    "cosine": (
        [*MLP, "epochs=4", "schedule=cosine", "schedule.warmup_epochs=1", "schedule.final_fraction=0.1"],
        4,
        4,
        (0.4663922, 0.4622095, 0.01001904),
    ),
    "step": (
        [*MLP, "epochs=4", "optimizer=adam", "schedule=step", "schedule.step_epochs=2", "schedule.factor=0.5"],
        4,
        4,
        (1.240029, 1.180683, 0.0005),
    ),
    "plateau": (
        [
            *MLP,
            "epochs=10",
            "optimizer.learning_rate=1",
            "schedule=plateau",
            "schedule.patience=1",
            "schedule.factor=0.5",
            "training.monitor=val_accuracy",
        ],
        10,
        10,
        (2.302605, 2.30261, 0.0078125),
    ),
    "plateau_loss": (
        [
            *MLP,
            "epochs=10",
            "optimizer.learning_rate=1",
            "schedule=plateau",
            "schedule.patience=1",
            "schedule.factor=0.5",
            "training.monitor=val_loss",
        ],
        10,
        10,
        (2.304189, 2.302643, 0.125),
    ),
    "ema": ([*MLP, "epochs=4", "training.ema_momentum=0.9"], 4, 4, (0.4066901, 0.3331077, 0.1)),
    "early_stopping": (
        [*MLP, "epochs=30", "optimizer.learning_rate=1.5", "training.early_stopping_patience=2"],
        4,
        4,
        (2.31885, 2.312653, 1.5),
    ),
    "early_stopping_accuracy_ema_best": (
        [
            *MLP,
            "epochs=30",
            "optimizer.learning_rate=1.5",
            "training.early_stopping_patience=2",
            "training.keep_best_epoch=true",
            "training.ema_momentum=0.8",
            "training.monitor=val_accuracy",
        ],
        1,
        3,
        (2.317814, 2.304465, 1.5),
    ),
    "keep_best": (
        [
            *MLP,
            "epochs=8",
            "optimizer.learning_rate=2",
            "training.keep_best_epoch=true",
            "training.monitor=val_accuracy",
        ],
        2,
        8,
        (2.319611, 2.323002, 2),
    ),
    "label_smoothing": (
        [*MLP, "epochs=3", "training.label_smoothing=0.1", "seed=5"],
        3,
        3,
        (0.8673981, 0.9295473, 0.1),
    ),
    "gaussian": ([*MLP, "epochs=3", "noise=gaussian", "noise.stddev=0.5"], 3, 3, (0.693966, 0.505738, 0.1)),
    "gaussian_fixed": (
        [*MLP, "epochs=3", "noise=gaussian", "noise.stddev=0.5", "noise.redraw=false"],
        3,
        3,
        (0.3957379, 0.4557833, 0.1),
    ),
    "salt_and_pepper_range": (
        [*MLP, "epochs=3", "noise=salt_and_pepper", "noise.level=0.6", "noise.min_level=0.1"],
        3,
        3,
        (1.140041, 0.8824596, 0.1),
    ),
    "shift": ([*MLP, "epochs=3", "augmentation=shift"], 3, 3, (1.41701, 1.217334, 0.1)),
    "elastic": ([*MLP, "epochs=3", "augmentation=elastic"], 3, 3, (1.503446, 1.061305, 0.1)),
    "affine": ([*MLP, "epochs=3", "augmentation=affine"], 3, 3, (1.235273, 0.9158897, 0.1)),
    "affine_gaussian_ema_plateau": (
        [
            *MLP,
            "epochs=4",
            "augmentation=affine",
            "noise=gaussian",
            "training.ema_momentum=0.9",
            "schedule=plateau",
            "schedule.patience=1",
            "optimizer=adam",
        ],
        4,
        4,
        (1.36244, 1.020288, 0.001),
    ),
    "dropout_batch_norm": (
        [*MLP, "epochs=3", "model.dropout=0.3", "model.batch_normalization=true"],
        3,
        3,
        (0.6731169, 0.5540207, 0.1),
    ),
    "blocks": (
        [*MLP, "epochs=3", "batch_size=37", "training.steps_per_execution=7", "seed=3"],
        3,
        3,
        (0.4294614, 0.373514, 0.1),
    ),
    "test_validation": ([*MLP, "epochs=2", "data.validation=test", "data.scale=0.5"], 2, 2, (1.262454, 0.9982972, 0.1)),
    "autoencoder": (
        ["model=autoencoder", "epochs=2", "optimizer=adam", "noise=salt_and_pepper", "noise.level=0.4"],
        2,
        2,
        (0.4927536, 0.4827084, 0.001),
    ),
    "cvae": (
        ["model=cvae", "epochs=3", "optimizer=adam", "training.ema_momentum=0.9"],
        3,
        3,
        (350.1921, 343.3602, 0.001),
    ),
}


@pytest.mark.parametrize("case", PINNED)
def test_a_history_is_what_it_was(compose_config, case):
    overrides, selected_epoch, n_epochs, expected = PINNED[case]
    result = train_config(compose_config("data=digits", "batch_size=32", "training.threads=1", *overrides))
    last = result.history[-1]
    assert (result.selected_epoch, len(result.history)) == (selected_epoch, n_epochs)
    assert (last["loss"], last["val_loss"], last["learning_rate"]) == pytest.approx(expected, rel=2e-5)
