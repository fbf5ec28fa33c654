"""Where λ enters the loss: the L2 penalty λ·Σw² on the kernels of a network's hidden layers."""

from __future__ import annotations

from collections.abc import Sequence

from mnist_flow.models.inspection import list_layers
from mnist_flow.runtime.lazy import keras

# What Keras's layers call a kernel and its regularizer; the first pair is that of Dense and of most convolutions.
_KERNELS = (
    ("kernel", "kernel_regularizer"),
    ("kernel", "depthwise_regularizer"),
    ("depthwise_kernel", "depthwise_regularizer"),
    ("pointwise_kernel", "pointwise_regularizer"),
)


def add_l2_penalty(model: keras.Model, reg: float, layers: str | Sequence[str] = "all") -> None:
    """Add reg·Σw² to the loss for every weight w of the kernels of hidden layers; biases carry no penalty.

    A hidden layer is any layer with a kernel but the last one, which is the output layer. The layers' regularizers are
    set as if they had been given to their constructors, so that a saved model keeps them.

    Args:
        model: built, so that its kernels exist.
        reg: weight λ of the penalty, at least 0; 0 changes nothing.
        layers: `all`, or the names of the hidden layers that carry it.

    Raises:
        ValueError: there is no hidden layer of that name.
    """
    hidden = [layer for layer in list_layers(model) if _list_kernels(layer)][:-1]
    check_regularized_layers(layers, [layer.name for layer in hidden])
    if reg == 0:
        return
    for layer in hidden:
        if layers == "all" or layer.name in layers:
            penalty = keras.regularizers.L2(reg)
            for kernel, regularizer in _list_kernels(layer):
                # The loss asks the variable, and the layer's config the layer.
                getattr(layer, kernel).regularizer = penalty
                setattr(layer, regularizer, penalty)


def check_regularized_layers(chosen: str | Sequence[str], names: Sequence[str]) -> None:
    """Raise ValueError where a chosen layer is none of the hidden ones; `all` chooses each."""
    for name in [] if isinstance(chosen, str) else chosen:
        if name not in names:
            raise ValueError(
                f"model.regularized_layers: no hidden layer '{name}'; choose all, or from {' '.join(names)}"
            )


def _list_kernels(layer: keras.Layer) -> list[tuple[str, str]]:
    """Names of a layer's attributes that hold its kernels and their regularizers."""
    return [pair for pair in _KERNELS if all(hasattr(layer, name) for name in pair)]
