"""The output layer of all classifiers, and the names of hidden layers."""

from __future__ import annotations

from mnist_flow.runtime.lazy import keras


def class_probabilities(n_classes: int) -> keras.Layer:
    """The output layer: softmax over the classes, in float32 whatever the precision of the hidden layers."""
    return keras.layers.Dense(n_classes, activation="softmax", dtype="float32", name="probabilities")


def number_layers(kind: str, count: int) -> list[str]:
    """Names of layers of a kind, from 1 on: dense_1, dense_2, …"""
    return [f"{kind}_{number}" for number in range(1, count + 1)]
