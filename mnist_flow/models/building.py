"""From a model's config and a data set to the network that is trained."""

from __future__ import annotations

from mnist_flow.config.options import find_module
from mnist_flow.config.train import ModelSection
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.models.regularization import add_l2_penalty
from mnist_flow.runtime.lazy import keras
from mnist_flow.runtime.own_code import refuse_result


def build_model(config: ModelSection, info: DatasetInfo, reg: float = 0.0) -> keras.Model:
    """Build the network that a config describes, its weights drawn from the current Keras seed.

    Args:
        config: one of conf/model, or of the user's own.
        info: the data set, which says how large images are and how many classes there are.
        reg: weight λ of the L2 penalty λ·Σw² on the kernels of the config's `regularized_layers`; of all hidden layers
            where it has no such key.

    Raises:
        RunError: `build` of a module of the user's own returns no model; the message names file and line.
        ValueError: the network can't take such images, or there is no such layer.
    """
    build = find_module(config).build
    model = build(config, info)
    if not isinstance(model, keras.Model):
        raise refuse_result(build, model, "a keras.Model")
    if reg > 0:
        add_l2_penalty(model, reg, getattr(config, "regularized_layers", "all"))
    return model
