import matplotlib.pyplot as plt
import numpy as np
import pytest

from mnist_flow import figures
from mnist_flow.figures import LayerRow

DIGITS = "0123456789"


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.fixture
def confusion() -> np.ndarray:
    """100 images of each digit all right, but for 30 ones taken for sevens and 8 fours for nines; no zeros at all."""
    matrix = np.eye(10, dtype=np.int64) * 100
    matrix[1, [1, 7]] = [70, 30]
    matrix[4, [4, 9]] = [92, 8]
    matrix[0, 0] = 0
    return matrix


def test_confusion_matrix_shows_counts(confusion):
    axes, colorbar = figures.plot_confusion_matrix(confusion, "a title", DIGITS).axes
    np.testing.assert_array_equal(axes.images[0].get_array(), confusion)
    assert texts(axes) == [str(count) for count in confusion.flat]
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("a title", "predicted class", "true class")
    assert colorbar.get_ylabel() == "images (darkest from the largest mistake on)"


def test_the_colours_of_counts_have_whole_numbers():
    few = np.eye(10, dtype=np.int64) + np.eye(10, k=1, dtype=np.int64)
    _, colorbar = figures.plot_confusion_matrix(few, "a title", DIGITS).axes
    ticks = colorbar.get_yticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))


def test_confusion_matrix_has_true_digits_in_its_rows(confusion):
    """The 30 stand in the second row from the top, in the column of the seven."""
    axes = figures.plot_confusion_matrix(confusion, "", DIGITS).axes[0]
    (thirty,) = [text for text in axes.texts if text.get_text() == "30"]
    assert thirty.get_position() == (7, 1)
    assert axes.yaxis_inverted()


def test_confusion_matrix_shows_shares_of_the_rows(confusion):
    axes, colorbar = figures.plot_confusion_matrix(confusion, "", DIGITS, normalize=True).axes
    shown = np.asarray(axes.images[0].get_array())
    assert shown[1, 7] == 0.3
    assert shown[4, 4] == 0.92
    assert shown.sum(axis=1).tolist() == pytest.approx([0] + [1] * 9)  # a digit without images divides by nothing
    assert texts(axes)[17] == "0.300"
    assert texts(axes)[0] == "0.000"
    assert colorbar.get_ylabel() == "fraction of the row (darkest from the largest mistake on)"


def test_confusion_matrix_shows_fractions_of_each_true_class():
    confusion = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 1]])
    axes = figures.plot_confusion_matrix(confusion, "", "012", normalize=True).axes[0]
    assert axes.images[0].get_array().tolist() == [[0.8, 0.2, 0], [0.25, 0.75, 0], [0, 0, 1]]


@pytest.mark.parametrize(("normalize", "darkest"), [(False, 30), (True, 0.3)])
def test_confusion_matrix_is_darkest_from_the_largest_mistake_on(confusion, normalize, darkest):
    axes = figures.plot_confusion_matrix(confusion, "", DIGITS, normalize).axes[0]
    assert axes.images[0].get_clim() == (0, darkest)
    # White on dark, black on light: the mistake of 30, the hits, the mistake of 8, an empty field.
    assert [axes.texts[index].get_color() for index in (17, 11, 49, 1)] == ["white", "white", "black", "black"]


def test_the_colours_of_two_classes_end_at_the_largest_value():
    axes, colorbar = figures.plot_confusion_matrix(np.array([[301, 0], [12, 87]]), "", ["fine", "not"]).axes
    assert axes.images[0].get_clim() == (0, 301)
    assert colorbar.get_ylabel() == "images"
    assert [text.get_color() for text in axes.texts] == ["white", "black", "black", "black"]


@pytest.mark.parametrize(
    ("n_classes", "written", "named"), [(12, 144, 12), (26, 27, 26), (47, 0, 47), (100, 0, 100), (250, 0, 84)]
)
def test_a_matrix_of_many_classes_shows_what_can_be_read(n_classes, written, named):
    """Zeros are left out first, then numbers, then names; names stay at their rows."""
    counts = 50 * np.eye(n_classes, dtype=np.int64)
    counts[2, 5] = 3
    names = [f"c{number}" for number in range(n_classes)]
    figure = figures.plot_confusion_matrix(counts, "", names)
    axes = figure.axes[0]
    assert len([text for text in texts(axes) if text]) == written
    places = dict(zip([text.get_text() for text in axes.get_yticklabels()], axes.get_yticks(), strict=True))
    assert len(places) == named
    assert all(places[name] == names.index(name) for name in places)
    assert max(figure.get_size_inches()) < 20


def test_confusion_matrix_without_mistakes():
    axes = figures.plot_confusion_matrix(np.eye(10, dtype=np.int64) * 5, "", DIGITS).axes[0]
    assert axes.images[0].get_clim() == (0, 1)


def test_confusion_matrix_names_the_classes_and_grows_with_them():
    names = [f"class {number}" for number in range(26)]
    figure = figures.plot_confusion_matrix(np.eye(26, dtype=np.int64), "", names)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert figure.get_figwidth() > 2 * 6.4


@pytest.mark.parametrize(("names", "rotation"), [(["a", "bcd"], 0), (["a", "bcde"], 90)])
def test_names_of_columns_are_written_upwards_where_one_of_them_is_long(names, rotation):
    axes = figures.plot_confusion_matrix(np.eye(2, dtype=np.int64), "", names).axes[0]
    assert [label.get_rotation() for label in axes.get_xticklabels()] == [rotation] * 2


def test_figures_are_not_open_in_pyplot(confusion):
    figures.plot_epoch_curves([{"loss": 0.9, "val_loss": 0.8}], "")
    figures.plot_confusion_matrix(confusion, "", DIGITS)
    figures.plot_model_diagram([LayerRow("flatten", "Flatten", "784", 0)], "")
    assert plt.get_fignums() == []
