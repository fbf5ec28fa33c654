import keras
import numpy as np
import pytest

from mnist_flow.errors import RunError
from mnist_flow.evaluation.subject import LoadedModel


@pytest.mark.parametrize(("scale", "seen"), [(1.0, 2.0), (0.25, 0.5)])
def test_a_model_sees_pixels_as_it_was_trained_on_them(scale, seen):
    """Images are changed first and scaled then: noise is the sensor's."""
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.GlobalMaxPooling2D()])
    loaded = LoadedModel("id", "maximum", model, scale, batch_size=2)
    brightest = loaded.predict(np.full((3, 28, 28, 1), 2, np.float32))
    assert (brightest.shape, brightest.dtype) == ((3, 1), np.float32)
    np.testing.assert_array_equal(brightest, np.float32(seen))


def build_pool() -> LoadedModel:
    """An autoencoder whose code are the means of the four quarters of an image."""
    encoder = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.AveragePooling2D(14)], name="encoder")
    model = keras.Sequential([encoder, keras.layers.UpSampling2D(14, name="up")])
    return LoadedModel("a", "pool", model, 0.5, 1)


def test_codes_of_convolutions_are_flattened():
    assert build_pool().encode(np.ones((2, 28, 28, 1), np.float32)).tolist() == [[0.5] * 4] * 2


def test_a_half_that_is_not_there_is_told():
    with pytest.raises(RunError, match=r"^run a: its model has no layer 'decoder', but encoder up$"):
        build_pool().get_half("decoder")
