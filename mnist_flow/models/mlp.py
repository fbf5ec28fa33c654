"""Fully connected networks: reports 000-1B to 3B, 001-2, 002-2, 003-2, 004-2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import model_validator

from mnist_flow.config.section import Activation, Count, Initializer, OpenFraction, ProperFraction
from mnist_flow.config.train import ModelSection
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.models.centering import Centering, build_network
from mnist_flow.models.layers import HiddenLayer, build_dense_part, number_layers
from mnist_flow.models.regularization import check_regularized_layers
from mnist_flow.runtime.lazy import keras


class Config(ModelSection):
    hidden_units: list[Count]
    activation: Activation
    dropout: ProperFraction
    batch_normalization: bool
    kernel_initializer: Initializer | None = None
    gaussian_noise: OpenFraction | None = None
    centering: Centering | None = None
    regularized_layers: Literal["all"] | list[str]

    @model_validator(mode="after")
    def check_layers(self) -> Config:
        check_regularized_layers(self.regularized_layers, number_layers("dense", len(self.hidden_units)))
        return self


def build(config: Config, info: DatasetInfo) -> keras.Model:
    """Build the network of a config for the images and classes of a data set: see `build_mlp`."""
    options = config.model_dump(exclude={"family", "module", "regularized_layers"})
    return build_mlp(info.input_shape, info.n_classes, **options)


def build_mlp(
    input_shape: tuple[int, int, int],
    n_classes: int,
    hidden_units: Sequence[int],
    activation: str = "relu",
    dropout: float = 0.0,
    batch_normalization: bool = False,
    kernel_initializer: str | None = None,
    gaussian_noise: float | None = None,
    centering: Centering | None = None,
    name: str = "mlp",
) -> keras.Model:
    """Flatten, then Dense layers `dense_1`, `dense_2`, … and a softmax output for each class.

    Args:
        input_shape: height, width and channels of an image.
        n_classes: outputs.
        hidden_units: units of each hidden layer.
        activation: of the hidden layers, a Keras name.
        dropout: fraction of each hidden layer's outputs dropped in training, 0 to below 1.
        batch_normalization: normalise after each hidden layer.
        kernel_initializer: what the first weights of all layers are drawn from, a Keras name; None: `glorot_uniform`.
        gaussian_noise: standard deviation of what is added to the input and to each hidden layer's outputs in training,
            see `build_dense_part`.
        centering: what puts each image in the middle first, see `build_network`.

    Returns:
        (batch, height, width, channels) float32 in [0, 1] → (batch, n_classes) float32 class probabilities.
    """
    hidden = [HiddenLayer(units, dropout, activation) for units in hidden_units]
    layers = build_dense_part(hidden, n_classes, batch_normalization, kernel_initializer, gaussian_noise)
    return build_network(input_shape, layers, name, centering)
