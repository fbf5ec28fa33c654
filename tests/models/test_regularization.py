from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from mnist_flow.models.regularization import add_l2_penalty


@pytest.fixture
def model() -> keras.Model:
    """One of every kind of hidden layer, all weights 0.5; two kernels in the separable convolution."""
    network = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(3, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.SeparableConv2D(4, 3, name="separable"),
            keras.Sequential([layers.Flatten(), layers.Dense(5, name="dense")], name="nested"),
            layers.Dense(6, name="output"),
            layers.Softmax(),
        ]
    )
    network.set_weights([np.full_like(weights, 0.5) for weights in network.get_weights()])
    return network


# 0.25 for each weight: 3·3·2·3, 3·3·3, 3·3·3 + 3·4, 2·2·4·5.
PENALTIES = {"conv": 54, "depthwise": 27, "separable": 39, "dense": 80}


def sum_losses(model: keras.Model) -> float:
    return float(sum(np.asarray(loss) for loss in model.losses))


def test_all_kernels_but_the_last_layers_carry_it(model):
    add_l2_penalty(model, 0.1)
    assert sum_losses(model) == pytest.approx(0.1 * 0.25 * sum(PENALTIES.values()), rel=1e-6)
    assert len(model.losses) == 5


@pytest.mark.parametrize("name", PENALTIES)
def test_the_layers_that_are_named_carry_it(model, name):
    add_l2_penalty(model, 0.1, [name])
    assert sum_losses(model) == pytest.approx(0.1 * 0.25 * PENALTIES[name], rel=1e-6)


@pytest.mark.parametrize("arguments", [(0.0,), (0.0, ["conv"]), (0.1, [])])
def test_nothing_is_added_without_a_weight_or_a_layer(model, arguments):
    add_l2_penalty(model, *arguments)
    assert model.losses == []
    assert model.get_layer("conv").get_config()["kernel_regularizer"] is None


@pytest.mark.parametrize("name", ["output", "norm", "nowhere"])
def test_a_layer_that_is_no_hidden_one_is_told(model, name):
    with pytest.raises(ValueError, match=f"no hidden layer '{name}'; choose all, or from conv depthwise separable den"):
        add_l2_penalty(model, 0.1, [name])


def test_a_saved_model_keeps_it(model, tmp_path):
    add_l2_penalty(model, 0.1, ["conv", "separable"])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert sum_losses(loaded) == sum_losses(model) > 0
    assert loaded.get_layer("conv").get_config() == model.get_layer("conv").get_config()


def test_it_is_what_a_layer_gets_from_its_constructor():
    """The same config, the same loss bit for bit, and the same weights after a step."""
    built = []
    for penalty in (keras.regularizers.L2(0.3), None):
        keras.utils.set_random_seed(3)
        hidden = layers.Dense(4, kernel_regularizer=penalty, name="hidden")
        model = keras.Sequential([keras.Input((5,), name="x"), hidden, layers.Dense(2, name="output")], name="model")
        if penalty is None:
            add_l2_penalty(model, 0.3)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        config, losses = model.get_config(), [float(loss) for loss in model.losses]
        model.fit(np.ones((8, 5), np.float32), np.ones((8, 2), np.float32), verbose=0)
        built.append((config, losses, [weights.tolist() for weights in model.get_weights()]))
    assert built[0] == built[1]
