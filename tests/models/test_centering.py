import keras
import numpy as np
import pytest

from mnist_flow.models.centering import build_network, move_to_middle
from mnist_flow.models.cnn import BlockConfig, build_cnn
from mnist_flow.models.inspection import compute_activations
from mnist_flow.models.mlp import build_mlp

SHAPE = (7, 8, 1)


def centre(images):
    inputs = keras.Input(images.shape[1:])
    return keras.Model(inputs, move_to_middle(inputs)).predict(images, verbose=0)


def place(row, column, shape=SHAPE):
    """A black image with a bright pixel, and a darker one at its right."""
    image = np.zeros(shape, np.float32)
    image[row, column], image[row, column + 1] = 1, 0.25
    return image


def test_each_image_is_moved_by_itself_and_by_whole_pixels():
    moved = centre(np.stack([place(0, 0), place(6, 6), place(2, 5)]))
    # The mass lies 0.2 pixels to the right of the bright pixel; the middle is at 3.5, 4.
    for image in moved:
        assert sorted(image[image > 0].tolist()) == [0.25, 1]
        ((row, column, _),) = np.argwhere(image == 1)
        assert abs(row - 3.5) <= 0.5
        assert abs(column + 0.2 - 4) <= 0.5
    np.testing.assert_array_equal(moved[0], moved[2])


def test_an_image_in_the_middle_stays_and_so_does_a_black_one():
    images = np.stack([place(3, 4), np.zeros(SHAPE, np.float32)])
    np.testing.assert_array_equal(centre(images), images)


def test_how_bright_an_image_is_does_not_count():
    image = place(1, 1)
    bright, dark = centre(np.stack([image, 1e-3 * image]))
    np.testing.assert_array_equal(dark, np.float32(1e-3) * bright)


def test_what_leaves_the_image_is_lost_and_does_not_come_in_at_the_other_side():
    image = np.zeros((7, 7, 1), np.float32)
    image[3, 0], image[3, 1], image[3, 6] = 1, 1, 0.1
    (moved,) = centre(image[None])
    # The mass is at 0.76, so that all goes 3 to the right.
    assert moved[3, :, 0].tolist() == pytest.approx([0, 0, 0, 1, 1, 0, 0])


def test_the_colours_of_a_pixel_stay_together():
    image = place(0, 0, (6, 6, 3)) * np.array([0.2, 0.3, 0.5], np.float32)
    (moved,) = centre(image[None])
    ((row, column),) = np.argwhere(moved.sum(-1) == moved.sum(-1).max())
    assert (row, column) == (3, 3)
    np.testing.assert_array_equal(moved[3, 3], image[0, 0])


@pytest.mark.parametrize(
    "build",
    [
        lambda centering: build_mlp(SHAPE, 3, [5], centering=centering),
        lambda centering: build_cnn(
            SHAPE, 3, [BlockConfig(filters=[2], kernel_size=3, pool_size=2)], centering=centering
        ),
    ],
    ids=["mlp", "cnn"],
)
def test_a_network_that_centres_sees_no_shift_and_has_the_layers_and_weights_of_one_that_does_not(build, tmp_path):
    plain, network = build(None), build("mass")
    network.set_weights(plain.get_weights())
    there, elsewhere, middle = np.stack([place(1, 1)]), np.stack([place(5, 5)]), np.stack([place(3, 4)])
    np.testing.assert_array_equal(network.predict(there, verbose=0), network.predict(elsewhere, verbose=0))
    np.testing.assert_array_equal(network.predict(middle, verbose=0), plain.predict(middle, verbose=0))
    assert (plain.predict(there, verbose=0) != plain.predict(elsewhere, verbose=0)).any()
    # Of Keras's own parts: loading needs nothing of ours.
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded.predict(there, verbose=0), network.predict(there, verbose=0))
    activations = compute_activations(network, there)
    assert [one.layer for one in activations] == [one.layer for one in compute_activations(plain, there)]


def test_without_centering_a_network_is_a_plain_stack():
    network = build_network(SHAPE, [keras.layers.Flatten()], "stack")
    assert isinstance(network, keras.Sequential)
    assert network.name == "stack"
