"""Figures of one run: arrays in, a matplotlib Figure out. Nothing is shown, saved or set globally."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import ConfusionMatrixDisplay

from mnist_flow.arrays import FloatArray, IntArray
from mnist_flow.transforms import DIRECTIONS, Fill, shift_images

# Of the Okabe-Ito palette, which the colour-blind can tell apart.
TRAINING_COLOR, VALIDATION_COLOR = "#0072B2", "#D55E00"


class LayerRow(NamedTuple):
    """One layer of a model diagram."""

    name: str
    kind: str
    output_shape: str
    parameters: int


def plot_epoch_curves(
    history: Sequence[Mapping[str, float]], title: str, validation_name: str = "validation", selected_epoch: int = 0
) -> Figure:
    """Loss and accuracy over the epochs, training and validation.

    Args:
        history: one mapping an epoch with loss, val_loss, accuracy and val_accuracy.
        title: of the figure.
        validation_name: what the validation images are, for the legend.
        selected_epoch: marked with a line where it is not the last; 0 for none.
    """
    figure = Figure(figsize=(9, 3.6))
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.15, top=0.88, wspace=0.25)
    figure.suptitle(title)
    epochs = np.arange(1, len(history) + 1)
    panels: list[tuple[Axes, str, str]] = list(
        zip(figure.subplots(1, 2), ("loss", "accuracy"), ("loss (cross-entropy + L2 penalty)", "accuracy"), strict=True)
    )
    for axes, name, label in panels:
        train = [metrics[name] for metrics in history]
        validation = [metrics[f"val_{name}"] for metrics in history]
        axes.plot(epochs, train, "o-", color=TRAINING_COLOR, label="training", markersize=3)
        axes.plot(epochs, validation, "s-", color=VALIDATION_COLOR, label=validation_name, markersize=3)
        if 0 < selected_epoch < len(history):
            axes.axvline(selected_epoch, color="0.5", linestyle=":", label=f"weights of epoch {selected_epoch}")
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def plot_confusion_matrix(confusion: IntArray, title: str, normalize: bool = False) -> Figure:
    """A 10×10 confusion matrix, rows true and columns predicted; `normalize` gives shares of each row."""
    figure = Figure(figsize=(6.4, 5.6))
    figure.subplots_adjust(left=0.09, right=0.95, bottom=0.1, top=0.92)
    axes = figure.subplots()
    values = confusion
    if normalize:
        values = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    # Mistakes are few: the colours end at the largest of them, or only the diagonal would be seen.
    mistakes = np.where(np.eye(len(values), dtype=bool), 0, values)
    darkest = max(mistakes.max(), 1e-3 if normalize else 1)
    display = ConfusionMatrixDisplay(values).plot(
        ax=axes,
        cmap="Blues",
        values_format=".3f" if normalize else "d",
        im_kw={"vmax": darkest},
        text_kw={"fontsize": 8},
        colorbar=False,
    )
    for text, value in zip(display.text_.flat, values.flat, strict=True):
        text.set_color("white" if value > 0.6 * darkest else "black")
    axes.set(title=title, xlabel="predicted digit", ylabel="true digit")
    label = "share of the row" if normalize else "images"
    figure.colorbar(display.im_, ax=axes, extend="max", label=f"{label} (darkest from the largest mistake on)")
    return figure


def plot_misclassified(
    images: FloatArray, true: IntArray, predicted: IntArray, confidence: FloatArray, title: str
) -> Figure:
    """The given images in a grid, each with its true digit, the predicted one and the predicted one's probability.

    Args:
        images: float32 (n, 28, 28, 1) in [0, 1]; n may be 0.
        true: int (n,).
        predicted: int (n,).
        confidence: float (n,), 0 to 1.
        title: of the figure.
    """
    columns = 5
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(1.5 * columns, 1.75 * rows + 0.55))
    figure.suptitle(title, fontsize=10)
    # One axes for the whole grid: 25 of their own take three times as long to draw.
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98 - 0.5 / figure.get_figheight()))
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    axes.axis("off")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        axes.imshow(
            image[:, :, 0], cmap="gray_r", vmin=0, vmax=1, extent=(column + 0.1, column + 0.9, row + 0.97, row + 0.2)
        )
        caption = f"{true[index]} taken for {predicted[index]} ({confidence[index]:.0%})"
        axes.text(column + 0.5, row + 0.13, caption, ha="center", fontsize=8)
    axes.set(xlim=(0, columns), ylim=(rows, 0), aspect="auto")
    if not len(images):
        axes.text(columns / 2, rows / 2, "none", ha="center")
    return figure


def plot_shifted_digits(images: FloatArray, pixels: int, fills: Sequence[Fill], directions: Sequence[str]) -> Figure:
    """Digits as they are, and moved: a column a digit, a row a fill and direction.

    Args:
        images: float32 (n, 28, 28, 1) in [0, 1], as they are; n at least 1.
        pixels: how far to move them.
        fills: wrap, zero.
        directions: of `transforms.DIRECTIONS`.
    """
    rows = [("original", images)]
    for fill in fills:
        for direction in directions:
            dx, dy = DIRECTIONS[direction]
            label = f"{pixels} pixels {direction.replace('_', ' and ')}, {fill}"
            rows.append((label, shift_images(images, pixels * dx, pixels * dy, fill)))
    label_width, size = 2.6, 0.8
    width, height = label_width + size * len(images) + 0.1, size * len(rows) + 0.1
    figure = Figure(figsize=(width, height))
    # One axes for the whole grid: a hundred of their own would take seconds to draw.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    for row, (label, moved) in enumerate(rows):
        axes.text(label_width - 0.1, (row + 0.5) * size, label, ha="right", va="center", fontsize=9)
        for column, image in enumerate(moved):
            left, top = label_width + column * size, row * size + 0.05
            # On black, so that one sees where the image ends and what came in.
            axes.imshow(
                np.clip(image[:, :, 0], 0, 1),
                cmap="gray",
                vmin=0,
                vmax=1,
                extent=(left, left + size - 0.06, top + size - 0.06, top),
            )
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


def plot_model_diagram(rows: Sequence[LayerRow], title: str) -> Figure:
    """The layers of a sequential model from input to output, with output shapes and parameter counts."""
    figure = Figure(figsize=(6.4, 0.52 * len(rows) + 0.7))
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98 - 0.4 / figure.get_figheight()))
    axes.set(xlim=(0, 10), ylim=(len(rows), 0), title=title)
    axes.axis("off")
    for position, row in enumerate(rows):
        face = "#DCEAF4" if row.parameters else "#F2F2F2"
        axes.add_patch(
            FancyBboxPatch(
                (0.1, position + 0.12), 9.8, 0.62, boxstyle="round,pad=0.05", facecolor=face, edgecolor="0.4"
            )
        )
        middle = position + 0.44
        axes.text(0.3, middle, row.name, va="center", fontsize=9, weight="bold")
        axes.text(4.0, middle, row.kind, va="center", fontsize=9)
        axes.text(6.9, middle, row.output_shape, va="center", ha="center", fontsize=9)
        parameters = f"{row.parameters:,} parameters" if row.parameters else ""
        axes.text(9.8, middle, parameters, va="center", ha="right", fontsize=8)
        if position < len(rows) - 1:
            axes.annotate(
                "", (5, position + 1.1), (5, position + 0.77), arrowprops={"arrowstyle": "->", "color": "0.4"}
            )
    return figure
