"""Which classes a classifier takes for which."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from mnist_flow.data.arrays import IntArray


def plot_confusion_matrix(
    confusion: IntArray, title: str, class_names: Sequence[str], normalize: bool = False
) -> Figure:
    """Plot a confusion matrix as numbers on colours that tell the mistakes apart.

    Args:
        confusion: int (n_classes, n_classes) counts, rows true and columns predicted.
        title: of the figure.
        class_names: of the rows and columns.
        normalize: show fractions of each row instead of counts.
    """
    # Inches: a class needs that much for a number of four digits, and the title for itself.
    side = max(0.46 * len(confusion), 4.6)
    figure = Figure(figsize=(side + 1.8, side + 1.0), layout="compressed")
    axes = figure.subplots()
    values = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1) if normalize else confusion
    mistakes = np.where(np.eye(len(values), dtype=bool), 0, values)
    darkest = max(mistakes.max(), 1e-3 if normalize else 1)
    image = plot_matrix(axes, values, class_names, darkest, ("{:.3f}" if normalize else "{:d}").format)
    axes.set(title=title, xlabel="predicted class", ylabel="true class")
    label = "fraction of the row" if normalize else "images"
    figure.colorbar(image, ax=axes, extend="max", label=f"{label} (darkest from the largest mistake on)")
    return figure


def plot_matrix(
    axes: Axes, values: np.ndarray, class_names: Sequence[str], darkest: float, write: Callable[[float], str]
) -> AxesImage:
    """Plot the values of a matrix on axes.

    Args:
        axes: to plot on.
        values: (n_classes, n_classes), rows true and columns predicted.
        class_names: of the rows and columns.
        darkest: where the colours end: mistakes are few, and beyond the largest of them only the diagonal is seen.
        write: gives the text of a value.
    """
    # Takes seconds to import; a run that draws a matrix has computed it with the same module.
    from sklearn.metrics import ConfusionMatrixDisplay

    display = ConfusionMatrixDisplay(values, display_labels=class_names)
    display.plot(
        ax=axes,
        cmap="Blues",
        colorbar=False,
        xticks_rotation="vertical" if max(map(len, class_names)) > 3 else "horizontal",
        im_kw={"vmin": 0, "vmax": darkest},
        text_kw={"fontsize": 8},
    )
    # Scikit-learn's choice of black or white takes the largest value for the darkest.
    for value, text in zip(values.flat, display.text_.flat, strict=True):
        text.set(text=write(value), color="white" if value > 0.6 * darkest else "black")
    return display.im_
