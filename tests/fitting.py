"""Small trainings on a few digits, as several test modules need them."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.dataset import DatasetInfo, Images, Splits
from mnist_flow.data.loading import load_data_set, load_info, load_splits
from mnist_flow.models import build_model
from mnist_flow.models.autoencoder import build_autoencoder
from mnist_flow.models.cvae import build_cvae
from mnist_flow.models.mlp import build_mlp
from mnist_flow.runs.training import build_changes, build_optimization, build_settings
from mnist_flow.tasks import find_task
from mnist_flow.tasks.classification import TASK as CLASSIFICATION
from mnist_flow.training.devices import reset_keras
from mnist_flow.training.loop import train_model
from mnist_flow.training.optimizers import Optimization, build_optimizer
from mnist_flow.training.settings import ImageChanges, TrainingListener, TrainingSettings

BATCH = 32
# Too small a learning rate to change a weight.
STILL = 1e-12
INFO = DatasetInfo("digits", "test", "0" * 16, (28, 28, 1), tuple("0123456789"))


def make_mlp(hidden_units, **options):
    return build_mlp((28, 28, 1), 10, hidden_units, **options)


def make_autoencoder(hidden_units, latent_units):
    return build_autoencoder((28, 28, 1), hidden_units, latent_units)


def make_cvae(hidden_units, latent_units):
    return build_cvae((28, 28, 1), 10, hidden_units, latent_units)


def load_digits(first, last):
    images = load_data_set("digits").train
    return Images(images.images[first:last], images.labels[first:last])


def build_rate(name, learning_rate, steps_per_epoch, epochs, **options):
    """The schedule of an option of conf/schedule, or None."""
    module = import_module(f"mnist_flow.training.schedules.{name}")
    if not hasattr(module, "build_schedule"):
        return None
    return module.build_schedule(module.Config(name=name, **options), learning_rate, steps_per_epoch, epochs)


class Hearing(TrainingListener):
    """Tells functions what it hears."""

    def __init__(self, on_steps=None, on_epoch=None, on_state=None):
        self._told = {"steps": on_steps, "epoch": on_epoch, "state": on_state}
        self.keeps_states = on_state is not None

    def on_steps(self, epoch, images_done, metrics):
        if self._told["steps"] is not None:
            self._told["steps"](epoch, images_done, metrics)

    def on_epoch(self, epoch, metrics):
        if self._told["epoch"] is not None:
            self._told["epoch"](epoch, metrics)

    def on_state(self, state):
        self._told["state"](state)


def fit(
    train,
    validation,
    model=None,
    seed=0,
    optimizer=None,
    epochs=2,
    batch_size=BATCH,
    *,
    task=CLASSIFICATION,
    schedule=None,
    plateau=None,
    corrupt=None,
    redraw=True,
    draw_transforms=None,
    augment_images=None,
    on_steps=None,
    on_epoch=None,
    on_state=None,
    resume_from=None,
    **settings,
):
    """Train a small network, if none is given, from its seed on; returns it and the result."""
    if model is None:
        reset_keras(seed)
        model = make_mlp([8])
    result = train_model(
        model,
        task,
        Splits(train, validation, validation),
        INFO,
        Optimization(optimizer or build_optimizer("sgd", schedule or 0.1), schedule, plateau),
        TrainingSettings(epochs, batch_size, seed, **settings),
        ImageChanges(corrupt, redraw, draw_transforms, augment_images),
        Hearing(on_steps, on_epoch, on_state),
        resume_from,
    )
    return model, result


def train_config(cfg):
    """Train the network that a composed config describes, without MLflow; returns the result."""
    config = validate_config(cfg, TrainConfig)
    data = config.data
    info = load_info(data.name, data.path)
    splits = load_splits(data.name, data.path, data.validation, data.holdout_size, data.split_seed, data.scale)
    reset_keras(config.seed, config.training.precision)
    model = build_model(config.model, info, config.reg)
    optimization = build_optimization(config, len(splits.train))
    changes = build_changes(config, info)
    return train_model(model, find_task(config.task), splits, info, optimization, build_settings(config), changes)


def measure(model, images):
    """Loss and accuracy by Keras, with the weights that the model has now."""
    return model.evaluate(images.images, images.one_hot(10), batch_size=1000, verbose=0, return_dict=True)


def recorded(result, name):
    return [metrics[name] for metrics in result.history]


def are_equal(weights, others):
    return all(np.array_equal(one, other) for one, other in zip(weights, others, strict=True))
