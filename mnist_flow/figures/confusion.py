"""Which classes a classifier takes for which."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from mnist_flow.data.arrays import IntArray

# Classes of a matrix whose numbers are written, of one whose zeros are, too, and of one beside which all are named.
_MOST_WRITTEN, _MOST_ZEROS, _MOST_NAMED = 30, 12, 100
# In inches: a name beside a matrix of many classes, and the widest letters on average.
_NAME_HEIGHT, _CHARACTER_WIDTH = 0.17, 0.1


def plot_confusion_matrix(
    confusion: IntArray, title: str, class_names: Sequence[str], normalize: bool = False
) -> Figure:
    """Plot a confusion matrix as numbers on colours that tell the mistakes apart.

    Args:
        confusion: int (n_classes, n_classes) counts, rows true and columns predicted.
        class_names: of the rows and columns.
        normalize: show fractions of each row instead of counts.
    """
    side = measure_matrix(len(confusion))
    # Margins in inches. Matplotlib's own layout of a figure takes longer than its drawing.
    longest = _CHARACTER_WIDTH * max(map(len, class_names))
    left, right, bottom, top = 0.5 + longest, 1.3, 0.5 + (longest if _are_upright(class_names) else 0.15), 0.4
    width, height = left + side + right, bottom + side + top
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    bar = figure.add_axes(((left + side + 0.15) / width, bottom / height, 0.2 / width, side / height))
    values = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1) if normalize else confusion
    mistakes = np.where(np.eye(len(values), dtype=bool), 0, values)
    # The four fields of two classes are read as numbers, and their largest mistake may be as dark as what is right.
    of_mistakes = len(values) > 2
    darkest = max(mistakes.max() if of_mistakes else values.max(), 1e-3 if normalize else 1)
    image = plot_matrix(axes, values, class_names, darkest, ("{:.3f}" if normalize else "{:d}").format)
    axes.set(title=title, xlabel="predicted class", ylabel="true class")
    label = "fraction of the row" if normalize else "images"
    said = " (darkest from the largest mistake on)" if of_mistakes else ""
    ticks = None if normalize else MaxNLocator(integer=True)
    figure.colorbar(image, cax=bar, ticks=ticks, extend="max" if of_mistakes else "neither", label=f"{label}{said}")
    return figure


def measure_matrix(n_classes: int) -> float:
    """Width and height of a matrix that can be read, in inches: as much as its numbers need, or its names."""
    return max(0.46 * n_classes, 4.6) if n_classes <= _MOST_WRITTEN else min(_NAME_HEIGHT * n_classes, 17.0)


def plot_matrix(
    axes: Axes, values: np.ndarray, class_names: Sequence[str], darkest: float, write: Callable[[float], str]
) -> AxesImage:
    """Plot the values of a matrix on axes: as numbers, of many classes by their colours alone.

    Args:
        axes: to plot on, with sides as `measure_matrix` says.
        values: (n_classes, n_classes), rows true and columns predicted.
        class_names: of the rows and columns.
        darkest: where the colours end: mistakes are few, and beyond the largest of them only the diagonal is seen.
        write: gives the text of a value.
    """
    # Takes seconds to import; a run that draws a matrix has computed it with the same module.
    from sklearn.metrics import ConfusionMatrixDisplay

    is_written = len(values) <= _MOST_WRITTEN
    display = ConfusionMatrixDisplay(values, display_labels=class_names)
    display.plot(
        ax=axes,
        cmap="Blues",
        colorbar=False,
        include_values=is_written,
        xticks_rotation="vertical" if _are_upright(class_names) else "horizontal",
        im_kw={"vmin": 0, "vmax": darkest},
        text_kw={"fontsize": 8},
    )
    if is_written:
        # Scikit-learn's choice of black or white takes the largest value for the darkest.
        for value, text in zip(values.flat, display.text_.flat, strict=True):
            shown = write(value) if value or len(values) <= _MOST_ZEROS else ""
            text.set(text=shown, color="white" if value > 0.6 * darkest else "black")
    else:
        # Every name where they find room beside each other, every second, third, … otherwise.
        named = range(0, len(values), math.ceil(len(values) / _MOST_NAMED))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(named, [class_names[number] for number in named], fontsize=7)
    return display.im_


def _are_upright(class_names: Sequence[str]) -> bool:
    """Whether the names of the columns are written upwards, for want of room beside each other."""
    return max(map(len, class_names)) > 3 or len(class_names) > _MOST_WRITTEN
