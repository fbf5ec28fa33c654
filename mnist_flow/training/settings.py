"""What a training is told, and what it leaves behind: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mnist_flow.data.augmentation import AugmentImages, DrawTransforms
from mnist_flow.data.noise import Corrupt
from mnist_flow.runtime.lazy import keras

if TYPE_CHECKING:
    from mnist_flow.training.state import TrainingState


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how a network is trained."""

    # At most so many passes over the training images.
    epochs: int
    # Images a gradient step; the last batch of an epoch may be smaller.
    batch_size: int
    # Keys the order of the images, noise, augmentation and dropout.
    seed: int
    # In place of the objective's own; None: that one.
    loss: keras.losses.Loss | None = None
    # Fraction of a classifier's target that is spread over all classes.
    label_smoothing: float = 0.0
    # Virtual adversarial training of a classifier: how far images are moved, see `adversarial`; None: there is none.
    adversarial_radius: float | None = None
    # balanced: classes count alike in the loss of the training images; None: images do.
    class_weights: Literal["balanced"] | None = None
    # What the plateau, early stopping and the best epoch look at.
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    # Stop after so many epochs without improvement; None: never.
    early_stopping_patience: int | None = None
    # End with the best epoch's weights instead of the last one's.
    keep_best_epoch: bool = False
    # Gradient steps a call into TensorFlow.
    steps_per_execution: int = 32
    # Images a validation step, at most; fewer where the layers are large.
    evaluation_batch_size: int = 1000


@dataclass(frozen=True)
class ImageChanges:
    """What is done to training images before the network sees them."""

    # Adds noise; None: none.
    corrupt: Corrupt | None = None
    # Draw the noise afresh each epoch; False: once, which is for images without augmentation.
    redraw: bool = True
    # Draws a geometric transform for each image, afresh each epoch; None: none.
    draw_transforms: DrawTransforms | None = None
    # Changes the images themselves, afresh each epoch, before the transform; None: nothing does.
    augment_images: AugmentImages | None = None


class TrainingListener:
    """What is told while a training goes on; a listener overrides what it wants to hear."""

    # Whether `on_state` is to be called: copying the state takes time.
    keeps_states = False

    def on_steps(self, epoch: int, images_done: int, metrics: Mapping[str, float]) -> None:
        """Hear of some gradient steps: images done in this epoch, which count from 1, and its running metrics."""

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Hear of an epoch's end and its metrics; the network has the weights that were validated."""

    def on_state(self, state: TrainingState) -> None:
        """Receive what `train_model` can go on from, after `on_epoch`."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training left behind, beside the weights in the model."""

    # One mapping an epoch: loss, val_loss, learning_rate, and the metrics of the task with and without val_.
    history: list[dict[str, float]] = field(repr=False)
    # Epoch, from 1, whose weights the model ended with.
    selected_epoch: int
    # Seconds of training, over all processes where it was interrupted.
    fit_seconds: float

    @property
    def selected(self) -> dict[str, float]:
        """The metrics of the selected epoch."""
        return self.history[self.selected_epoch - 1]
