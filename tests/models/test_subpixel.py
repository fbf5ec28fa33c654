import keras
import numpy as np
import pytest

from mnist_flow.models.subpixel import build_pixel_shuffle, build_pixel_unshuffle, halve_image, moves_pixels


def apply(chain, values):
    for layer in chain:
        values = layer(values)
    return np.asarray(values)


def test_four_channels_become_a_block_of_pixels():
    # Two places side by side, two filters; the first four numbers are the upper two pixels of the left block.
    channels = np.arange(32, dtype=np.float32).reshape(1, 2, 2, 8)
    pixels = apply(build_pixel_shuffle((2, 2, 2), "up"), channels)
    assert pixels.shape == (1, 4, 4, 2)
    assert pixels[0, :2, :2].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    assert pixels[0, 2:, 2:].tolist() == [[[24, 25], [26, 27]], [[28, 29], [30, 31]]]


def test_unshuffled_and_shuffled_an_image_is_itself():
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    blocks = apply(build_pixel_unshuffle((4, 4, 1), "blocks"), image)
    assert blocks[0].tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7]], [[8, 9, 12, 13], [10, 11, 14, 15]]]
    np.testing.assert_array_equal(apply(build_pixel_shuffle((2, 2, 1), "pixels"), blocks), image)


def test_a_wide_colour_image_is_itself_after_both():
    image = np.arange(4 * 6 * 3, dtype=np.float32).reshape(1, 4, 6, 3)
    blocks = apply(build_pixel_unshuffle((4, 6, 3), "blocks"), image)
    assert blocks.shape == (1, 2, 3, 12)
    # The upper left block, pixel after pixel, each with its three channels.
    assert blocks[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 18, 19, 20, 21, 22, 23]
    np.testing.assert_array_equal(apply(build_pixel_shuffle((2, 3, 3), "pixels"), blocks), image)


def test_an_image_can_be_halved_as_often_as_its_sides_are_even():
    assert [halve_image((28, 28, 1), [8]), halve_image((28, 28, 1), [8, 4])] == [(14, 14), (7, 7)]
    assert halve_image((32, 48, 3), [8, 8, 8, 8]) == (2, 3)
    message = (
        r"^model.filters=\[8, 8, 8\]: an image of 28×28 pixels can't be halved 3 times; use fewer filters, or images "
        r"whose sides are multiples of 8$"
    )
    with pytest.raises(ValueError, match=message):
        halve_image((28, 28, 1), [8, 8, 8])
    for shape in ((32, 28, 3), (28, 32, 3)):
        with pytest.raises(ValueError, match="can't be halved 3 times"):
            halve_image(shape, [8, 8, 8])


@pytest.mark.parametrize(
    ("layer", "moves"),
    [
        (keras.layers.Reshape((4,), name="conv_1_split"), True),
        (keras.layers.Permute((1,), name="up_interleave"), True),
        (keras.layers.Reshape((4,), name="image"), False),
        (keras.layers.Dense(4, name="dense_split"), False),
    ],
)
def test_a_layer_that_moves_pixels_is_known_by_its_name_and_its_kind(layer, moves):
    assert moves_pixels(layer) is moves
