import numpy as np
import pytest

from mnist_flow.data.dataset import DataSet, Images
from mnist_flow.errors import ConfigError, RunError
from mnist_flow.evaluation.measures import feature_maps
from mnist_flow.evaluation.subject import LoadedModel, Subject
from mnist_flow.models.cnn import BlockConfig, build_cnn


@pytest.fixture
def subject():
    """A network whose one convolution copies the inner pixels; image number i has the pixels i/10 and shows i % 5."""
    model = build_cnn((28, 28, 1), 10, [BlockConfig(filters=[1], kernel_size=3, pool_size=2)], convolution_dropout=0.5)
    copy = np.zeros((3, 3, 1, 1))
    copy[1, 1] = 1
    model.get_layer("conv_1").set_weights([copy, np.zeros(1)])
    pixels = np.arange(10, dtype=np.float32) / 10
    images = Images(np.broadcast_to(pixels[:, None, None, None], (10, 28, 28, 1)), np.arange(10) % 5)
    data_set = DataSet("digits", "here", "0", (28, 28, 1), tuple("0123456789"), images, images)
    return Subject(LoadedModel("a", "cnn", model, 0.5, 100), data_set, {})


def measure(subject, digits, layers="all"):
    return feature_maps.measure("feature_maps", feature_maps.Config(digits=digits, layers=layers), subject)


def test_outputs_of_all_layers_for_the_first_image_of_each_digit(subject):
    result = measure(subject, [4, 0])
    arrays = result.arrays["samples/feature_maps.npz"]
    assert arrays["labels"].tolist() == [4, 0]
    assert arrays["images"].shape == (2, 28, 28, 1)
    assert arrays["images"][0].max() == np.float32(0.4)
    assert arrays["layers"].tolist() == ["conv_1", "pool_1", "convolution_dropout", "flatten", "probabilities"]
    assert arrays["kinds"].tolist() == ["Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense"]
    # Halved, as the model was trained.
    np.testing.assert_allclose(arrays["output_1"][0], np.full((26, 26, 1), 0.2))
    np.testing.assert_allclose(arrays["output_3"][0], np.full((13, 13, 1), 0.2))
    assert not arrays["output_1"][1].any()
    assert arrays["output_4"].shape == (2, 169)
    np.testing.assert_allclose(arrays["output_5"].sum(axis=1), 1, rtol=1e-6)
    # One of the two images is black.
    assert result.metrics["share_zero_conv_1"] == 0.5
    table = result.tables["tables/feature_maps.json"]
    assert table["layer"].tolist() == arrays["layers"].tolist()
    assert table["max"].tolist()[:4] == pytest.approx([0.2] * 4)


def test_only_the_chosen_layers_are_kept(subject):
    arrays = measure(subject, [1], ["pool_1"]).arrays["samples/feature_maps.npz"]
    assert arrays["layers"].tolist() == ["pool_1"]
    assert arrays["output_1"].shape == (1, 13, 13, 1)
    assert "output_2" not in arrays


@pytest.mark.parametrize(
    ("digits", "layers", "message"),
    [
        ([1, 7, 8], "all", r"measure.feature_maps.digits=\[1, 7, 8\]: no test image shows 7 8$"),
        ([1], ["conv_9"], "measure.feature_maps.layers: no layer 'conv_9'; choose all, or from conv_1 pool_1"),
    ],
)
def test_what_is_not_there_is_told(subject, digits, layers, message):
    with pytest.raises(RunError, match=message):
        measure(subject, digits, layers)


def test_only_labels_of_the_data_set_are_taken(subject):
    feature_maps.check("feature_maps", feature_maps.Config(digits=[9, 0], layers="all"), subject.data_set)
    message = r"measure.feature_maps.digits=\[3, 10\]: must be labels of digits, 0 to 9; say measure"
    with pytest.raises(ConfigError, match=message):
        feature_maps.check("feature_maps", feature_maps.Config(digits=[3, 10], layers="all"), subject.data_set)
