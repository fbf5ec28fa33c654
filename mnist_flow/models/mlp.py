"""Fully connected networks: reports 000-1B to 3B, 001-2, 002-2, 003-2, 004-2."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mnist_flow.config.section import Activation, Count, ProperFraction
from mnist_flow.config.train import ModelSection
from mnist_flow.data.loading import IMAGE_SHAPE
from mnist_flow.models.layers import check_regularized_layers, class_probabilities, number_layers, regularizer
from mnist_flow.runtime.lazy import keras


class Config(ModelSection):
    hidden_units: list[Count]
    activation: Activation
    dropout: ProperFraction
    batch_normalization: bool
    regularized_layers: Literal["all"] | list[str]

    @model_validator(mode="after")
    def check_layers(self) -> Config:
        check_regularized_layers(self.regularized_layers, number_layers("dense", len(self.hidden_units)))
        return self


def build_mlp(
    hidden_units: list[int],
    activation: str = "relu",
    dropout: float = 0.0,
    batch_normalization: bool = False,
    reg: float = 0.0,
    regularized_layers: str | list[str] = "all",
    name: str = "mlp",
) -> keras.Model:
    """Flatten, then Dense layers `dense_1`, `dense_2`, … and ten softmax outputs.

    Args:
        hidden_units: units of each hidden layer.
        activation: of the hidden layers, a Keras name.
        dropout: share of each hidden layer's outputs dropped in training, 0 to below 1.
        batch_normalization: normalise after each hidden layer.
        reg: weight of the L2 penalty reg·Σw² on the kernels of `regularized_layers`.
        regularized_layers: `all` for every hidden layer, or their names.
        name: of the model.

    Returns:
        (batch, 28, 28, 1) float32 in [0, 1] → (batch, 10) float32 class probabilities.
    """
    stack: list[keras.Layer] = [keras.Input(IMAGE_SHAPE, name="images"), keras.layers.Flatten(name="flatten")]
    for number, units in enumerate(hidden_units, start=1):
        dense = f"dense_{number}"
        penalty = regularizer(dense, reg, regularized_layers)
        stack.append(keras.layers.Dense(units, activation=activation, kernel_regularizer=penalty, name=dense))
        if batch_normalization:
            stack.append(keras.layers.BatchNormalization(name=f"dense_batch_norm_{number}"))
        if dropout > 0:
            stack.append(keras.layers.Dropout(dropout, name=f"dense_dropout_{number}"))
    return keras.Sequential([*stack, class_probabilities()], name=name)
