"""Convolutional networks: reports 000-4A, 001-3.1, 002-3A, 003-3, 004-3.1."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
from keras import layers

from mnist_flow.data.loading import IMAGE_SHAPE
from mnist_flow.models.layers import class_probabilities, regularizer


class Block(NamedTuple):
    """Convolutions one after another (stride 1, no padding), then a pooling whose stride is its size."""

    filters: Sequence[int]
    kernel_size: int
    pool_size: int


def build_cnn(
    blocks: Sequence[Block],
    hidden_units: Sequence[int] = (),
    hidden_dropout: Sequence[float] = (),
    activation: str = "relu",
    hidden_activation: str = "relu",
    pooling: str = "max",
    zero_padding: int = 0,
    convolution_dropout: float = 0.0,
    batch_normalization: bool = False,
    reg: float = 0.0,
    regularized_layers: str | list[str] = "all",
    name: str = "cnn",
) -> keras.Model:
    """Blocks of convolutions `conv_1`, `conv_2`, …, then Dense layers `dense_1`, … and ten softmax outputs.

    Args:
        blocks: the convolutional part.
        hidden_units: units of each dense hidden layer.
        hidden_dropout: share of each dense hidden layer's outputs dropped in training; as long as `hidden_units`.
        activation: of the convolutions, a Keras name.
        hidden_activation: of the dense hidden layers.
        pooling: max or average.
        zero_padding: pixels of zeros around the image first.
        convolution_dropout: share of the last block's outputs dropped in training.
        batch_normalization: normalise after the convolutions of each block and after each dense hidden layer.
        reg: weight of the L2 penalty reg·Σw² on the kernels of `regularized_layers`.
        regularized_layers: `all` for every convolution and dense hidden layer, or their names.
        name: of the model.

    Returns:
        (batch, 28, 28, 1) float32 in [0, 1] → (batch, 10) float32 class probabilities.
    """
    pool = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}[pooling]
    stack: list[keras.Layer] = [keras.Input(IMAGE_SHAPE, name="images")]
    if zero_padding:
        stack.append(layers.ZeroPadding2D(zero_padding, name="zero_padding"))
    convolutions = 0
    for number, block in enumerate(blocks, start=1):
        for filters in block.filters:
            convolutions += 1
            conv = f"conv_{convolutions}"
            penalty = regularizer(conv, reg, regularized_layers)
            stack.append(
                layers.Conv2D(filters, block.kernel_size, activation=activation, kernel_regularizer=penalty, name=conv)
            )
        if batch_normalization:
            stack.append(layers.BatchNormalization(name=f"block_batch_norm_{number}"))
        stack.append(pool(block.pool_size, name=f"pool_{number}"))
    if convolution_dropout > 0:
        stack.append(layers.Dropout(convolution_dropout, name="convolution_dropout"))
    stack.append(layers.Flatten(name="flatten"))
    for number, (units, dropout) in enumerate(zip(hidden_units, hidden_dropout, strict=True), start=1):
        dense = f"dense_{number}"
        penalty = regularizer(dense, reg, regularized_layers)
        stack.append(layers.Dense(units, activation=hidden_activation, kernel_regularizer=penalty, name=dense))
        if batch_normalization:
            stack.append(layers.BatchNormalization(name=f"dense_batch_norm_{number}"))
        if dropout > 0:
            stack.append(layers.Dropout(dropout, name=f"dense_dropout_{number}"))
    return keras.Sequential([*stack, class_probabilities()], name=name)
