"""What the families share."""

from __future__ import annotations

from mnist_flow.data.loading import N_CLASSES
from mnist_flow.runtime.lazy import keras


def regularizer(name: str, reg: float, regularized_layers: str | list[str]) -> keras.Regularizer | None:
    """The L2 penalty reg·Σw² for the kernel of the layer called `name`, or None where it carries none."""
    regularized = regularized_layers == "all" or name in regularized_layers
    return keras.regularizers.L2(reg) if regularized and reg > 0 else None


def class_probabilities() -> keras.Layer:
    """The output layer: softmax over the ten digits, in float32 whatever the precision of the hidden layers."""
    return keras.layers.Dense(N_CLASSES, activation="softmax", dtype="float32", name="probabilities")


def number_layers(kind: str, count: int) -> list[str]:
    return [f"{kind}_{number}" for number in range(1, count + 1)]


def check_regularized_layers(chosen: str | list[str], names: list[str]) -> None:
    for name in chosen if isinstance(chosen, list) else []:
        if name not in names:
            raise ValueError(
                f"model.regularized_layers: no hidden layer '{name}'; choose all, or from {' '.join(names)}"
            )
