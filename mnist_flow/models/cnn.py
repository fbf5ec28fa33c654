"""Convolutional networks: reports 000-4A, 001-3.1, 002-3A, 003-3, 004-3.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mnist_flow.config.section import Activation, Count, OpenFraction, ProperFraction, Section
from mnist_flow.config.train import ModelSection
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.models.centering import Centering, build_network
from mnist_flow.models.layers import HiddenLayer, build_dense_part, number_layers
from mnist_flow.models.regularization import check_regularized_layers
from mnist_flow.runtime.lazy import keras


class BlockConfig(Section):
    """Convolutions one after another (stride 1, no padding), then a pooling whose stride is its size."""

    filters: Annotated[list[Count], Field(min_length=1)]
    kernel_size: Count
    pool_size: Count


class Config(ModelSection):
    zero_padding: Annotated[int, Field(ge=0)]
    blocks: Annotated[list[BlockConfig], Field(min_length=1)]
    pooling: Literal["max", "average"]
    convolution_dropout: ProperFraction
    block_dropout: OpenFraction | None = None
    hidden_units: list[Count]
    hidden_dropout: list[ProperFraction]
    activation: Activation
    hidden_activation: Activation
    batch_normalization: bool
    batch_normalization_after: Literal["pooling"] | None = None
    centering: Centering | None = None
    regularized_layers: Literal["all"] | list[str]

    @model_validator(mode="after")
    def check_layers(self) -> Config:
        convolutions = sum(len(block.filters) for block in self.blocks)
        names = number_layers("conv", convolutions) + number_layers("dense", len(self.hidden_units))
        check_regularized_layers(self.regularized_layers, names)
        if self.batch_normalization_after and not self.batch_normalization:
            key = f"model.batch_normalization_after={self.batch_normalization_after}"
            raise ValueError(f"{key}: needs model.batch_normalization=true")
        if self.block_dropout and len(self.blocks) < 2:
            raise ValueError(
                f"model.block_dropout={self.block_dropout}: needs two of model.blocks; for a single one, type "
                "model.convolution_dropout"
            )
        if len(self.hidden_dropout) != len(self.hidden_units):
            raise ValueError(
                f"model.hidden_dropout={self.hidden_dropout}: needs one number for each of "
                f"model.hidden_units={self.hidden_units}"
            )
        return self

    def check_input(self, input_shape: tuple[int, int, int]) -> None:
        check_blocks(input_shape, self.blocks, self.zero_padding)


def check_blocks(input_shape: tuple[int, int, int], blocks: Sequence[BlockConfig], zero_padding: int = 0) -> None:
    """Raise ValueError where kernels and pools are larger than what the blocks before them leave of the image."""
    height, width, _ = input_shape
    size = min(height, width) + 2 * zero_padding
    for number, block in enumerate(blocks, start=1):
        size = (size - len(block.filters) * (block.kernel_size - 1)) // block.pool_size
        if size < 1:
            raise ValueError(
                f"model.blocks: nothing is left of the {height}×{width} image after block {number}; "
                "use smaller kernels or pools"
            )


def build(config: Config, info: DatasetInfo) -> keras.Model:
    """Build the network of a config for the images and classes of a data set: see `build_cnn`."""
    options = config.model_dump(exclude={"family", "module", "regularized_layers", "blocks"})
    return build_cnn(info.input_shape, info.n_classes, config.blocks, **options)


def build_cnn(
    input_shape: tuple[int, int, int],
    n_classes: int,
    blocks: Sequence[BlockConfig],
    hidden_units: Sequence[int] = (),
    hidden_dropout: Sequence[float] = (),
    *,
    activation: str = "relu",
    hidden_activation: str = "relu",
    pooling: str = "max",
    zero_padding: int = 0,
    convolution_dropout: float = 0.0,
    block_dropout: float | None = None,
    batch_normalization: bool = False,
    batch_normalization_after: Literal["pooling"] | None = None,
    centering: Centering | None = None,
    name: str = "cnn",
) -> keras.Model:
    """Blocks of convolutions `conv_1`, `conv_2`, …, then Dense layers `dense_1`, … and a softmax over the classes.

    Args:
        input_shape: height, width and channels of an image.
        n_classes: outputs.
        blocks: the convolutional part.
        hidden_units: units of each dense hidden layer.
        hidden_dropout: fraction of the outputs of each dense hidden layer dropped in training.
        activation: of the convolutions, a Keras name.
        hidden_activation: of the dense hidden layers.
        pooling: max or average.
        zero_padding: pixels of zeros around the image first.
        convolution_dropout: fraction of the last block's outputs dropped in training.
        block_dropout: fraction of the outputs of each block before it dropped in training; None: none.
        batch_normalization: normalise in each block, and after each dense hidden layer.
        batch_normalization_after: what it follows in a block; None: the convolutions.
        centering: what puts each image in the middle first, see `build_network`.

    Returns:
        (batch, height, width, channels) float32 in [0, 1] → (batch, n_classes) float32 class probabilities.

    Raises:
        ValueError: the blocks leave nothing of an image.
    """
    check_blocks(input_shape, blocks, zero_padding)
    pool = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[pooling]
    stack: list[keras.Layer] = []
    if zero_padding:
        stack.append(keras.layers.ZeroPadding2D(zero_padding, name="zero_padding"))
    convolutions = 0
    for number, block in enumerate(blocks, start=1):
        for filters in block.filters:
            convolutions += 1
            options = {"activation": activation, "name": f"conv_{convolutions}"}
            stack.append(keras.layers.Conv2D(filters, block.kernel_size, **options))
        ends = [pool(block.pool_size, name=f"pool_{number}")]
        if batch_normalization:
            norm = keras.layers.BatchNormalization(name=f"block_batch_norm_{number}")
            ends.insert(batch_normalization_after == "pooling", norm)
        stack.extend(ends)
        if block_dropout and number < len(blocks):
            stack.append(keras.layers.Dropout(block_dropout, name=f"block_dropout_{number}"))
    if convolution_dropout > 0:
        stack.append(keras.layers.Dropout(convolution_dropout, name="convolution_dropout"))
    dense = zip(hidden_units, hidden_dropout, strict=True)
    hidden = [HiddenLayer(units, dropout, hidden_activation) for units, dropout in dense]
    layers = [*stack, *build_dense_part(hidden, n_classes, batch_normalization)]
    return build_network(input_shape, layers, name, centering)
