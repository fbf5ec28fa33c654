"""Fully connected networks: reports 000-1B to 3B, 001-2, 002-2, 003-2, 004-2."""

import keras
from keras import layers

from mnist_flow.data.loading import IMAGE_SHAPE
from mnist_flow.models.layers import class_probabilities, regularizer


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
    stack: list[keras.Layer] = [keras.Input(IMAGE_SHAPE, name="images"), layers.Flatten(name="flatten")]
    for number, units in enumerate(hidden_units, start=1):
        dense = f"dense_{number}"
        penalty = regularizer(dense, reg, regularized_layers)
        stack.append(layers.Dense(units, activation=activation, kernel_regularizer=penalty, name=dense))
        if batch_normalization:
            stack.append(layers.BatchNormalization(name=f"dense_batch_norm_{number}"))
        if dropout > 0:
            stack.append(layers.Dropout(dropout, name=f"dense_dropout_{number}"))
    return keras.Sequential([*stack, class_probabilities()], name=name)
