"""What the families share."""

import keras

from mnist_flow.data.loading import N_CLASSES


def regularizer(name: str, reg: float, regularized_layers: str | list[str]) -> keras.Regularizer | None:
    """The L2 penalty reg·Σw² for the kernel of the layer called `name`, or None where it carries none."""
    regularized = regularized_layers == "all" or name in regularized_layers
    return keras.regularizers.L2(reg) if regularized and reg > 0 else None


def class_probabilities() -> keras.Layer:
    """The output layer: softmax over the ten digits, in float32 whatever the precision of the hidden layers."""
    return keras.layers.Dense(N_CLASSES, activation="softmax", dtype="float32", name="probabilities")
