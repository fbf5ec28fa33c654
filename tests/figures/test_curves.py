import pytest
from matplotlib.colors import to_hex

from mnist_flow import figures

HISTORY = [
    {"loss": 0.9, "accuracy": 0.7, "val_loss": 0.8, "val_accuracy": 0.75},
    {"loss": 0.5, "accuracy": 0.8, "val_loss": 0.4, "val_accuracy": 0.85},
    {"loss": 0.3, "accuracy": 0.9, "val_loss": 0.6, "val_accuracy": 0.80},
]


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
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high] == [1]
