from types import SimpleNamespace

import numpy as np
import pytest

from mnist_flow.evaluation.measures import shift
from mnist_flow.evaluation.subject import EvaluationResult


@pytest.mark.parametrize(("max_pixels", "pixels"), [(2, 2), (9, shift._SHOWN_PIXELS)])
def test_test_images_are_shown_shifted_in_every_direction_and_with_every_fill(monkeypatch, max_pixels, pixels):
    measured, drawn = [], []
    monkeypatch.setattr(
        shift, "measure_under", lambda name, conditions, *rest: (measured.append(conditions), EvaluationResult({}))[1]
    )
    monkeypatch.setattr(shift, "plot_shifted_images", lambda *arguments: (drawn.append(arguments), "a figure")[1])
    images = np.arange(20)
    data_set = SimpleNamespace(test=SimpleNamespace(images=images), train=SimpleNamespace(images=-images))
    config = SimpleNamespace(max_pixels=max_pixels, directions=["left", "up"], fills=["zero", "wrap"])
    result = shift.measure("shift", config, SimpleNamespace(data_set=data_set))
    assert result.figures == {"samples/shifted.png": "a figure"}
    ((shown, *rest),) = drawn
    np.testing.assert_array_equal(shown, images[: shift._SHOWN_IMAGES])
    assert rest == [pixels, ["zero", "wrap"], ["left", "up"]]
    # Unmoved, and by each number of pixels in both directions, with both fills.
    assert len(measured[0]) == 2 * (1 + 2 * max_pixels)
