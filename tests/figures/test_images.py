import numpy as np
import pytest

from mnist_flow import figures

DIGITS = "0123456789"


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("n", [1, 7, 25])
def test_misclassified_images_with_their_captions(n):
    images = np.random.default_rng(0).random((n, 28, 28, 1), dtype=np.float32)
    true, predicted, confidence = np.arange(n) % 10, (np.arange(n) + 3) % 10, np.linspace(0.99, 0.5, n)
    figure = figures.plot_misclassified(images, true, predicted, confidence, DIGITS, "the mistakes")
    (axes,) = figure.axes
    assert figure.get_suptitle() == "the mistakes"
    assert len(axes.images) == len(axes.texts) == n
    for shown, image in zip(axes.images, images, strict=True):
        np.testing.assert_array_equal(shown.get_array(), image[:, :, 0])
        assert shown.get_clim() == (0, 1)
    assert texts(axes)[0] == "0 taken for 3 (99%)"


def test_misclassified_images_stand_in_rows_of_five_under_their_captions():
    images = np.zeros((7, 28, 28, 1), np.float32)
    (axes,) = figures.plot_misclassified(images, np.zeros(7, int), np.ones(7, int), np.ones(7), DIGITS, "").axes
    left, right, bottom, top = axes.images[6].get_extent()
    assert (int(left), int(top)) == (1, 1)  # the seventh: second column, second row
    assert axes.yaxis_inverted()
    assert top < bottom  # upright where y grows downwards
    x, y = axes.texts[6].get_position()
    assert left < x < right
    assert 1 < y < top
    # Square pixels.
    width, height = axes.get_window_extent().size
    assert (right - left) * width / 5 == pytest.approx((bottom - top) * height / 2)
    assert axes.get_xlim() == (0, 5)
    assert axes.get_ylim() == (2, 0)


def test_no_misclassified_images():
    nothing = np.zeros(0, int)
    (axes,) = figures.plot_misclassified(np.zeros((0, 28, 28, 1)), nothing, nothing, np.zeros(0), DIGITS, "").axes
    assert texts(axes) == ["none"]
    assert len(axes.images) == 0


def test_images_are_drawn_as_they_are_and_moved():
    images = np.zeros((2, 28, 28, 1), dtype=np.float32)
    images[:, 14, 27] = 1
    (axes,) = figures.plot_shifted_images(images, 3, ["wrap", "zero"], ["right", "left", "up", "down"]).axes
    assert [text.get_text() for text in axes.texts][:3] == [
        "original",
        "3 pixels right, wrap",
        "3 pixels left, wrap",
    ]
    drawn = [np.asarray(image.get_array()) for image in axes.images]
    # Nine rows of two images.
    assert len(drawn) == 18
    assert [np.argwhere(image).tolist() for image in drawn[::2][:4]] == [[[14, 27]], [[14, 2]], [[14, 24]], [[11, 27]]]
    assert not drawn[10].any()  # right, zero fill


def test_made_images_stand_beside_their_nearest_with_what_the_classifier_predicts():
    made, nearest = np.zeros((2, 5, 28, 28, 1), np.float32), np.ones((5, 28, 28, 1), np.float32)
    judged = np.array([[0, 3, 3, 3, 1], [0, 0, 3, 3, 3]])
    figure = figures.plot_beside_nearest(made, nearest, np.array([0, 0, 0, 3, 3]), judged, "abcd", "title", each=2)
    (axes,) = figure.axes
    assert [image.get_cmap().name for image in axes.images] == ["gray", "gray", "gray_r"] * 5
    # Rows of two at most: a a, a, d d.
    assert len({image.get_extent()[3] for image in axes.images}) == 3
    texts = [text.get_text() for text in axes.texts]
    assert texts[0] == "title"
    assert texts[1].startswith("made, sharpened once (white on black), nearest training image")
    assert [text for text in texts if text.startswith("class")] == ["class a", "class a", "class d"]
    colors = [text.get_color() for text in axes.texts if text.get_text() in "abd"]
    assert colors.count("#E69F00") == 4
    assert colors.count("#56B4E9") == 6


def test_colour_images_are_drawn_in_colour():
    images = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32) * 2
    labels = np.array([0, 1])
    drawn = [
        figures.plot_misclassified(images, labels, 1 - labels, np.ones(2), ["cat", "dog"], ""),
        figures.plot_image_rows([("a row", images)]),
        figures.plot_beside_nearest(images[None], images, labels, labels[None], ["cat", "dog"], "", each=1),
    ]
    for figure in drawn:
        (axes,) = figure.axes
        np.testing.assert_array_equal(axes.images[0].get_array(), np.minimum(images[0], 1))
    assert texts(drawn[0].axes[0])[0] == "cat taken for dog (100%)"


def test_long_names_of_classes_are_cut_above_mistakes_and_stand_in_two_lines():
    image = np.zeros((1, 4, 4, 3), np.float32)
    names = ["a name that is far too long", "cat"]
    axes = figures.plot_misclassified(image, np.array([0]), np.array([1]), np.array([0.5]), names, "").axes[0]
    assert [text.get_text() for text in axes.texts] == ["a name that …\ntaken for cat (50%)"]


def test_the_text_of_a_row_stands_left_of_the_middle_of_its_images():
    images = np.zeros((1, 4, 4, 1), np.float32)
    named = figures.plot_image_rows([("one", images), ("two", images)], title="a title")
    made = figures.plot_beside_nearest(
        *(images[None].repeat(2, axis=1), images.repeat(2, axis=0), np.array([0, 1]), np.array([[0, 1]])),
        *(["a", "the longest name"], "a title", 1),
    )
    for figure, images_a_row in ((named, 1), (made, 2)):
        (axes,) = figure.axes
        texts = [text for text in axes.texts if text.get_ha() == "right"]
        for text, image in zip(texts, axes.images[::images_a_row], strict=True):
            left, _, bottom, top = image.get_extent()
            x, y = text.get_position()
            assert top < y < bottom
            assert x < left
            # The figure is drawn in inches: the name has room between its edge and the images.
            box = text.get_window_extent()
            assert 0 <= box.x0 < box.x1 <= axes.transData.transform((left, 0))[0]


@pytest.mark.parametrize(("height", "width"), [(4, 4), (4, 8), (8, 4)])
def test_an_image_keeps_the_ratio_of_its_sides(height, width):
    axes = figures.plot_image_rows([("", np.zeros((1, height, width, 1), np.float32))]).axes[0]
    left, right, bottom, top = axes.images[0].get_extent()
    assert (right - left) / (bottom - top) == pytest.approx(width / height)
    assert max(right - left, bottom - top) == pytest.approx(0.74)
