"""Convolutional networks: reports 000-4A, 001-3.1, 002-3A, 003-3, 004-3.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from mnist_flow.config.section import Activation, Count, ProperFraction, Section
from mnist_flow.config.train import ModelSection
from mnist_flow.data.loading import IMAGE_SHAPE
from mnist_flow.models.layers import check_regularized_layers, class_probabilities, number_layers, regularizer
from mnist_flow.runtime.lazy import keras


class BlockConfig(Section):
    filters: Annotated[list[Count], Field(min_length=1)]
    kernel_size: Count
    pool_size: Count


class Config(ModelSection):
    zero_padding: Annotated[int, Field(ge=0)]
    blocks: Annotated[list[BlockConfig], Field(min_length=1)]
    pooling: Literal["max", "average"]
    convolution_dropout: ProperFraction
    hidden_units: list[Count]
    hidden_dropout: list[ProperFraction]
    activation: Activation
    hidden_activation: Activation
    batch_normalization: bool
    regularized_layers: Literal["all"] | list[str]

    @model_validator(mode="after")
    def check_layers(self) -> Config:
        convolutions = sum(len(block.filters) for block in self.blocks)
        names = number_layers("conv", convolutions) + number_layers("dense", len(self.hidden_units))
        check_regularized_layers(self.regularized_layers, names)
        if len(self.hidden_dropout) != len(self.hidden_units):
            raise ValueError(
                f"model.hidden_dropout={self.hidden_dropout}: needs one number for each of "
                f"model.hidden_units={self.hidden_units}"
            )
        size = 28 + 2 * self.zero_padding
        for number, block in enumerate(self.blocks, start=1):
            size = (size - len(block.filters) * (block.kernel_size - 1)) // block.pool_size
            if size < 1:
                raise ValueError(
                    f"model.blocks: nothing is left of the 28×28 image after block {number}; "
                    "use smaller kernels or pools"
                )
        return self


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
    pool = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[pooling]
    stack: list[keras.Layer] = [keras.Input(IMAGE_SHAPE, name="images")]
    if zero_padding:
        stack.append(keras.layers.ZeroPadding2D(zero_padding, name="zero_padding"))
    convolutions = 0
    for number, block in enumerate([Block(**block) if isinstance(block, dict) else block for block in blocks], start=1):
        for filters in block.filters:
            convolutions += 1
            conv = f"conv_{convolutions}"
            penalty = regularizer(conv, reg, regularized_layers)
            stack.append(
                keras.layers.Conv2D(
                    filters, block.kernel_size, activation=activation, kernel_regularizer=penalty, name=conv
                )
            )
        if batch_normalization:
            stack.append(keras.layers.BatchNormalization(name=f"block_batch_norm_{number}"))
        stack.append(pool(block.pool_size, name=f"pool_{number}"))
    if convolution_dropout > 0:
        stack.append(keras.layers.Dropout(convolution_dropout, name="convolution_dropout"))
    stack.append(keras.layers.Flatten(name="flatten"))
    for number, (units, dropout) in enumerate(zip(hidden_units, hidden_dropout, strict=True), start=1):
        dense = f"dense_{number}"
        penalty = regularizer(dense, reg, regularized_layers)
        stack.append(keras.layers.Dense(units, activation=hidden_activation, kernel_regularizer=penalty, name=dense))
        if batch_normalization:
            stack.append(keras.layers.BatchNormalization(name=f"dense_batch_norm_{number}"))
        if dropout > 0:
            stack.append(keras.layers.Dropout(dropout, name=f"dense_dropout_{number}"))
    return keras.Sequential([*stack, class_probabilities()], name=name)
