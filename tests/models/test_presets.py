"""Every network of conf/model, layer by layer, as a snapshot has it; others for larger images in colour."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from mnist_flow import CONF_DIR
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.models import build_model
from support import COLOUR, MNIST

PRESETS = sorted(path.stem for path in Path(CONF_DIR, "model").glob("*.yaml"))
VARIANTS = {
    "a denser network": ("mlp", "model.hidden_units=[32,16]", "model.dropout=0.2", "model.batch_normalization=true"),
    "three halvings": ("conv_autoencoder", "model.filters=[16,8,4]"),
    "an L2 penalty": ("cnn_20_40", "reg=1e-3"),
    "no hidden layer": ("mlp", "model.hidden_units=[]"),
}
# Of a layer's config what another network would have otherwise.
SHOWN = ("units", "filters", "kernel_size", "strides", "padding", "pool_size", "activation", "use_bias", "rate", "seed")


def list_layers(model: keras.Model, indent: str = "") -> list[str]:
    """A line a layer: its class, name, the shape and type of what it gives, and what makes it; models within too."""
    lines = []
    for layer in model.layers:
        config = layer.get_config()
        made = {name: config[name] for name in SHOWN if config.get(name) is not None}
        made |= {
            name: config[name]["config"] for name in ("kernel_initializer", "kernel_regularizer") if config.get(name)
        }
        shape = tuple(layer.output.shape) if hasattr(layer.output, "shape") else ""
        lines.append(f"{indent}{type(layer).__name__} {layer.name} {shape} {layer.compute_dtype} {made}")
        if isinstance(layer, keras.Model):
            lines += list_layers(layer, f"{indent}  ")
    return lines


@pytest.fixture
def half_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("name", [*PRESETS, *VARIANTS])
def test_a_network_is_what_it_was(compose_config, half_precision, snapshot, name):
    """In half precision, so that layers are seen that must not have it."""
    model, *overrides = VARIANTS.get(name, (name,))
    config = validate_config(compose_config(f"model={model}", *overrides), TrainConfig)
    network = build_model(config.model, COLOUR if overrides else MNIST, config.reg)
    assert network.outputs[0].dtype == "float32"
    assert "\n".join([f"{network.count_params()} parameters", *list_layers(network)]) == snapshot
