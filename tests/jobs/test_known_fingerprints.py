"""Fingerprints of runs that are logged already (commit 59656ea): they must never change."""

import pytest

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.loading import load_info
from mnist_flow.jobs.identity import identify

# overrides → fingerprint, group, recipe
KNOWN = {
    (
        "model=mlp",
        "model.hidden_units=[16]",
        "epochs=3",
        "optimizer.momentum=0.9",
        "optimizer.nesterov=true",
        "reg=1e-3",
    ): ("63dd51d620f457af", "9044fc1d3d33c4f5", "56f3d0b22bb892d2"),
    (
        "model=mlp",
        "model.hidden_units=[16]",
        "epochs=4",
        "schedule=cosine",
        "schedule.warmup_epochs=1",
        "schedule.final_fraction=0.1",
    ): ("983c66cfb9f6a35d", "930fdd0afe9bcc58", "a7ec832c49b73c30"),
    (
        "model=mlp",
        "model.hidden_units=[16]",
        "epochs=4",
        "augmentation=affine",
        "noise=gaussian",
        "training.ema_momentum=0.9",
        "schedule=plateau",
        "schedule.patience=1",
        "optimizer=adam",
    ): ("ebc8fcef3ab0eff8", "55da73f442336aca", "406db614b72a37be"),
    (
        "model=lenet5",
        "epochs=2",
        "optimizer=adam",
        "reg=1e-4",
    ): ("412d64a0228bde64", "3e8caf714e05ba8b", "c14b16e069b1992e"),
    (
        "model=cvae",
        "epochs=3",
        "optimizer=adam",
        "training.ema_momentum=0.9",
    ): ("12d7a9d7f9b1878c", "4cc26ae8a2a9ae4e", "cd6c76043334c48b"),
}


@pytest.mark.parametrize("overrides", KNOWN)
def test_the_identity_of_a_logged_run_stays(compose_config, overrides):
    common = ["data=digits", "batch_size=32", "training.threads=1"]
    config = validate_config(compose_config(*common, *overrides), TrainConfig)
    identity = identify(config, load_info("digits").digest)
    assert (identity.fingerprint, identity.group, identity.recipe) == KNOWN[overrides]
