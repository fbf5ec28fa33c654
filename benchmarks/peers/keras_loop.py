"""A notebook's loop over model.fit: defaults, verbose=0, nothing tracked."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import keras
from keras import layers

from benchmarks.peers.arguments import Fit, list_fits, load_images, parse_arguments, print_accuracies


def build_model(name: str, hidden: list[int], reg: float) -> keras.Model:
    """The networks of conf/model/ that are measured, as a notebook has them."""
    penalty = keras.regularizers.L2(reg) if reg else None
    stack = [keras.Input((28, 28, 1))]
    if name == "cnn_32_64_pool3":
        stack += [
            layers.Conv2D(32, 3, activation="relu", kernel_regularizer=penalty),
            layers.Conv2D(64, 3, activation="relu", kernel_regularizer=penalty),
            layers.MaxPooling2D(3),
            layers.Dropout(0.5),
        ]
        hidden = [300]
    stack.append(layers.Flatten())
    stack += [layers.Dense(units, activation="relu", kernel_regularizer=penalty) for units in hidden]
    return keras.Sequential([*stack, layers.Dense(10, activation="softmax")])


def train(
    arguments: argparse.Namespace, around_fit: Callable[[Fit], AbstractContextManager[object]] = nullcontext
) -> list[float]:
    """Train the grid, one network after another; returns their test accuracies.

    Args:
        arguments: from `parse_arguments`.
        around_fit: a context for each network's training.
    """
    x_train, y_train, x_val, y_val, x_test, y_test = load_images(arguments.data)
    accuracies = []
    for fit in list_fits(arguments):
        keras.utils.set_random_seed(fit.seed)
        model = build_model(arguments.model, arguments.hidden, fit.reg)
        model.compile(
            optimizer=keras.optimizers.SGD(fit.learning_rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        with around_fit(fit):
            model.fit(
                x_train,
                y_train,
                batch_size=arguments.batch_size,
                epochs=arguments.epochs,
                validation_data=(x_val, y_val),
                verbose=0,
            )
            _, accuracy = model.evaluate(x_test, y_test, verbose=0)
        accuracies.append(accuracy)
    return accuracies


if __name__ == "__main__":
    print_accuracies(train(parse_arguments(__doc__)))
