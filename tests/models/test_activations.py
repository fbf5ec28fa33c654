import numpy as np

from mnist_flow.models.activations import Activation, summarise_activations


def test_summary_against_literals():
    maps = np.array([[[0, 2], [0, 4]]], np.float32).reshape(1, 2, 2, 1)
    table = summarise_activations([Activation("conv_1", "Conv2D", maps), Activation("d", "Dense", maps.reshape(2, 2))])
    assert list(table) == ["layer", "kind", "shape", "min", "mean", "max", "share_zero"]
    assert table.to_numpy().tolist() == [
        ["conv_1", "Conv2D", "2 × 2 × 1", 0, 1.5, 4, 0.5],
        ["d", "Dense", "2", 0, 1.5, 4, 0.5],
    ]
