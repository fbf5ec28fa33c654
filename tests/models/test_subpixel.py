import numpy as np
import pytest

from mnist_flow.models.subpixel import build_pixel_shuffle, build_pixel_unshuffle, halve_image


def apply(chain, values):
    for layer in chain:
        values = layer(values)
    return np.asarray(values)


def test_four_channels_become_a_block_of_pixels():
    # Two places side by side, two filters; the first four numbers are the upper two pixels of the left block.
    channels = np.arange(32, dtype=np.float32).reshape(1, 2, 2, 8)
    pixels = apply(build_pixel_shuffle(2, 2, "up"), channels)
    assert pixels.shape == (1, 4, 4, 2)
    assert pixels[0, :2, :2].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    assert pixels[0, 2:, 2:].tolist() == [[[24, 25], [26, 27]], [[28, 29], [30, 31]]]


def test_unshuffled_and_shuffled_an_image_is_itself():
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    blocks = apply(build_pixel_unshuffle(4, "blocks"), image)
    assert blocks[0].tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7]], [[8, 9, 12, 13], [10, 11, 14, 15]]]
    np.testing.assert_array_equal(apply(build_pixel_shuffle(2, 1, "pixels"), blocks), image)


def test_an_image_can_be_halved_twice_at_most():
    assert [halve_image([8]), halve_image([8, 4])] == [14, 7]
    with pytest.raises(ValueError, match=r"^filters=\[8, 8, 8\]: 28 pixels can't be halved 3 times$"):
        halve_image([8, 8, 8])
