"""A small residual network, for images of any size: He et al. (2016)."""

from keras import Input, Model, layers

from mnist_flow.config import Count
from mnist_flow.config.train import ModelSection


class Config(ModelSection):
    filters: Count
    blocks: Count


def build(config, info):
    inputs = Input(info.input_shape)
    x = layers.Conv2D(config.filters, 5, strides=2, activation="relu")(inputs)
    for _ in range(config.blocks):
        change = layers.Conv2D(config.filters, 3, padding="same", activation="relu")(x)
        x = layers.add([x, layers.Conv2D(config.filters, 3, padding="same")(change)])
    return Model(inputs, layers.Dense(info.n_classes, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
