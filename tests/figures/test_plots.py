import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from mnist_flow.figures import plots as figures
from mnist_flow.figures.plots import LayerRow

HISTORY = [
    {"loss": 0.9, "accuracy": 0.7, "val_loss": 0.8, "val_accuracy": 0.75},
    {"loss": 0.5, "accuracy": 0.8, "val_loss": 0.4, "val_accuracy": 0.85},
    {"loss": 0.3, "accuracy": 0.9, "val_loss": 0.6, "val_accuracy": 0.80},
]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_epoch_curves_show_loss_and_accuracy_of_both_sets():
    figure = figures.plot_epoch_curves(HISTORY, "mlp_100 on digits", "validation (held out)")
    assert figure.get_suptitle() == "mlp_100 on digits"
    loss, accuracy = figure.axes
    for axes, train, validation, label in (
        (loss, [0.9, 0.5, 0.3], [0.8, 0.4, 0.6], "loss (cross-entropy + L2 penalty)"),
        (accuracy, [0.7, 0.8, 0.9], [0.75, 0.85, 0.80], "accuracy"),
    ):
        assert [line.get_ydata().tolist() for line in axes.lines] == [train, validation]
        assert [line.get_xdata().tolist() for line in axes.lines] == [[1, 2, 3]] * 2
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", label)
        assert legend(axes) == ["training", "validation (held out)"]


def test_epoch_curves_differ_in_colour_and_marker():
    training, validation = figures.plot_epoch_curves(HISTORY, "").axes[0].lines
    assert to_hex(training.get_color()) != to_hex(validation.get_color())
    assert training.get_marker() != validation.get_marker()


def test_epoch_curves_have_whole_epochs_as_ticks():
    axes = figures.plot_epoch_curves(HISTORY, "").axes[0]
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_epoch_curves_mark_an_earlier_selected_epoch():
    for axes in figures.plot_epoch_curves(HISTORY, "", selected_epoch=2).axes:
        assert axes.lines[-1].get_xdata() == [2, 2]
        assert legend(axes)[-1] == "weights of epoch 2"


@pytest.mark.parametrize("selected_epoch", [0, 3])
def test_epoch_curves_mark_neither_none_nor_the_last_epoch(selected_epoch):
    for axes in figures.plot_epoch_curves(HISTORY, "", selected_epoch=selected_epoch).axes:
        assert legend(axes) == ["training", "validation"]


def test_epoch_curves_of_one_epoch():
    figure = figures.plot_epoch_curves(HISTORY[:1], "")
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[0.9], [0.8]]


@pytest.fixture
def confusion() -> np.ndarray:
    """100 images of each digit all right, but for 30 ones taken for sevens and 8 fours for nines; no zeros at all."""
    matrix = np.eye(10, dtype=np.int64) * 100
    matrix[1, [1, 7]] = [70, 30]
    matrix[4, [4, 9]] = [92, 8]
    matrix[0, 0] = 0
    return matrix


def test_confusion_matrix_shows_counts(confusion):
    axes, colorbar = figures.plot_confusion_matrix(confusion, "a title").axes
    np.testing.assert_array_equal(axes.images[0].get_array(), confusion)
    assert texts(axes) == [str(count) for count in confusion.flat]
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("a title", "predicted digit", "true digit")
    assert colorbar.get_ylabel() == "images (darkest from the largest mistake on)"


def test_confusion_matrix_has_true_digits_in_its_rows(confusion):
    """The 30 stand in the second row from the top, in the column of the seven."""
    axes = figures.plot_confusion_matrix(confusion, "").axes[0]
    (thirty,) = [text for text in axes.texts if text.get_text() == "30"]
    assert thirty.get_position() == (7, 1)
    assert axes.yaxis_inverted()


def test_confusion_matrix_shows_shares_of_the_rows(confusion):
    axes, colorbar = figures.plot_confusion_matrix(confusion, "", normalize=True).axes
    shown = np.asarray(axes.images[0].get_array())
    assert shown[1, 7] == 0.3
    assert shown[4, 4] == 0.92
    assert shown.sum(axis=1).tolist() == pytest.approx([0] + [1] * 9)  # a digit without images divides by nothing
    assert texts(axes)[17] == "0.300"
    assert texts(axes)[0] == "0.000"
    assert colorbar.get_ylabel() == "share of the row (darkest from the largest mistake on)"


@pytest.mark.parametrize(("normalize", "darkest"), [(False, 30), (True, 0.3)])
def test_confusion_matrix_is_darkest_from_the_largest_mistake_on(confusion, normalize, darkest):
    axes = figures.plot_confusion_matrix(confusion, "", normalize).axes[0]
    assert axes.images[0].get_clim() == (0, darkest)
    # White on dark, black on light: the mistake of 30, the hits, the mistake of 8, an empty field.
    assert [axes.texts[index].get_color() for index in (17, 11, 49, 1)] == ["white", "white", "black", "black"]


def test_confusion_matrix_without_mistakes():
    axes = figures.plot_confusion_matrix(np.eye(10, dtype=np.int64) * 5, "").axes[0]
    assert axes.images[0].get_clim() == (0, 1)


@pytest.mark.parametrize("n", [1, 7, 25])
def test_misclassified_images_with_their_captions(n):
    images = np.random.default_rng(0).random((n, 28, 28, 1), dtype=np.float32)
    true, predicted, confidence = np.arange(n) % 10, (np.arange(n) + 3) % 10, np.linspace(0.99, 0.5, n)
    figure = figures.plot_misclassified(images, true, predicted, confidence, "the mistakes")
    (axes,) = figure.axes
    assert figure.get_suptitle() == "the mistakes"
    assert len(axes.images) == len(axes.texts) == n
    for shown, image in zip(axes.images, images, strict=True):
        np.testing.assert_array_equal(shown.get_array(), image[:, :, 0])
        assert shown.get_clim() == (0, 1)
    assert texts(axes)[0] == "0 taken for 3 (99%)"


def test_misclassified_images_stand_in_rows_of_five_under_their_captions():
    images = np.zeros((7, 28, 28, 1), np.float32)
    (axes,) = figures.plot_misclassified(images, np.zeros(7, int), np.ones(7, int), np.ones(7), "").axes
    left, right, bottom, top = axes.images[6].get_extent()
    assert (int(left), int(top)) == (1, 1)  # the seventh: second column, second row
    assert axes.yaxis_inverted()
    assert top < bottom  # upright where y grows downwards
    x, y = axes.texts[6].get_position()
    assert left < x < right
    assert 1 < y < top
    assert axes.get_xlim() == (0, 5)
    assert axes.get_ylim() == (2, 0)


def test_no_misclassified_images():
    nothing = np.zeros(0, int)
    (axes,) = figures.plot_misclassified(np.zeros((0, 28, 28, 1)), nothing, nothing, np.zeros(0), "").axes
    assert texts(axes) == ["none"]
    assert len(axes.images) == 0


ROWS = [
    LayerRow("flatten", "Flatten", "784", 0),
    LayerRow("dense_1", "Dense", "100", 78_500),
    LayerRow("probabilities", "Dense", "10", 1_010),
]


def test_model_diagram_names_every_layer_from_top_to_bottom():
    (axes,) = figures.plot_model_diagram(ROWS, "mlp_100: 79,510 parameters").axes
    assert axes.get_title() == "mlp_100: 79,510 parameters"
    assert [text for text in texts(axes) if text] == [
        *("flatten", "Flatten", "784"),
        *("dense_1", "Dense", "100", "78,500 parameters"),
        *("probabilities", "Dense", "10", "1,010 parameters"),
    ]
    heights = [text.get_position()[1] for text in axes.texts if text.get_text() in ("flatten", "dense_1")]
    assert heights[0] < heights[1]
    assert axes.yaxis_inverted()


def test_model_diagram_joins_its_boxes_by_arrows():
    (axes,) = figures.plot_model_diagram(ROWS, "").axes
    assert len(axes.patches) == 3
    assert sum(getattr(text, "arrow_patch", None) is not None for text in axes.texts) == 2
    colors = [to_hex(box.get_facecolor()) for box in axes.patches]
    assert colors[1] == colors[2] != colors[0]  # layers with parameters stand out


def test_figures_are_not_open_in_pyplot(confusion):
    figures.plot_epoch_curves(HISTORY, "")
    figures.plot_confusion_matrix(confusion, "")
    figures.plot_model_diagram(ROWS, "")
    assert plt.get_fignums() == []


def test_digits_are_drawn_as_they_are_and_moved():
    images = np.zeros((2, 28, 28, 1), dtype=np.float32)
    images[:, 14, 27] = 1
    (axes,) = figures.plot_shifted_digits(images, 3, ["wrap", "zero"], ["right", "left", "up", "down"]).axes
    assert [text.get_text() for text in axes.texts][:3] == [
        "original",
        "3 pixels right, wrap",
        "3 pixels left, wrap",
    ]
    drawn = [np.asarray(image.get_array()) for image in axes.images]
    # Nine rows of two digits.
    assert len(drawn) == 18
    assert [np.argwhere(image).tolist() for image in drawn[::2][:4]] == [[[14, 27]], [[14, 2]], [[14, 24]], [[11, 27]]]
    assert not drawn[10].any()  # right, zero fill


def test_made_images_stand_beside_their_nearest_with_what_the_judge_reads():
    made, nearest = np.zeros((2, 5, 28, 28, 1), np.float32), np.ones((5, 28, 28, 1), np.float32)
    judged = np.array([[0, 3, 3, 3, 1], [0, 0, 3, 3, 3]])
    figure = figures.plot_beside_nearest(made, nearest, np.array([0, 0, 0, 3, 3]), judged, "title", each=2)
    (axes,) = figure.axes
    assert [image.get_cmap().name for image in axes.images] == ["gray", "gray", "gray_r"] * 5
    # Rows of two at most: 0 0, 0, 3 3.
    assert len({image.get_extent()[3] for image in axes.images}) == 3
    texts = [text.get_text() for text in axes.texts]
    assert texts[0] == "title"
    assert texts[1].startswith("made, sharpened once (white on black), nearest training image")
    assert [text for text in texts if text.startswith("digit")] == ["digit 0", "digit 0", "digit 3"]
    colors = [text.get_color() for text in axes.texts if text.get_text() in "03 1"]
    assert colors.count("#E69F00") == 4
    assert colors.count("#56B4E9") == 6
