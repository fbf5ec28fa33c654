import pytest
from hydra import compose, initialize_config_dir

from benchmarks.flops import count_forward, count_step, count_training, list_costs
from benchmarks.peers import keras_loop
from mnist_flow import CONF_DIR
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.models import build_model
from support import MNIST

# Preset, the loop's arguments, parameters, multiply-adds of each layer.
NETWORKS = [
    ("mlp_500_300", ("mlp", [500, 300]), 545_810, [392_000, 150_000, 3_000]),
    ("mlp_64_64", ("mlp", [64, 64]), 55_050, [50_176, 4_096, 640]),
    ("mlp_100", ("mlp", [100]), 79_510, [78_400, 1_000]),
    ("cnn_32_64_pool3", ("cnn_32_64_pool3", [100]), 1_250_926, [194_688, 10_616_832, 1_228_800, 3_000]),
]


@pytest.mark.parametrize(("preset", "arguments", "parameters", "multiply_adds"), NETWORKS)
def test_the_loops_train_our_networks(preset, arguments, parameters, multiply_adds):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        config = validate_config(compose("config", [f"model={preset}"]), TrainConfig)
    ours, theirs = build_model(config.model, MNIST, config.reg), keras_loop.build_model(*arguments, reg=0.0)
    assert ours.count_params() == theirs.count_params() == parameters
    assert list_costs(ours) == multiply_adds
    assert list_costs(theirs) == multiply_adds


@pytest.mark.parametrize(("preset", "arguments", "parameters", "multiply_adds"), NETWORKS)
def test_so_does_the_one_in_pytorch(preset, arguments, parameters, multiply_adds):
    pytest.importorskip("torch")
    from benchmarks.peers import torch_loop

    assert sum(weights.numel() for weights in torch_loop.build_model(*arguments).parameters()) == parameters


def test_the_images_gradient_is_not_counted():
    costs = [20, 3]
    assert count_forward(costs) == 46
    assert count_step(costs) == 3 * 46 - 40


def test_a_training_validates_each_epoch_and_is_tested_once():
    costs = [20, 3]
    assert count_training(costs, epochs=2, n_train=10, n_validation=5, n_test=7) == 2 * (10 * 98 + 5 * 46) + 7 * 46
