"""Figures of one run: arrays in, a matplotlib Figure out. Nothing is shown, saved or set globally."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.data.transforms import DIRECTIONS, Fill, shift_images

# Of the Okabe-Ito palette, which the colour-blind can tell apart.
TRAINING_COLOR, VALIDATION_COLOR = "#0072B2", "#D55E00"
# Objects and not names: by its name, each image of a grid would get a table of colours of its own.
_GRAY, _GRAY_REVERSED = colormaps["gray"], colormaps["gray_r"]


class LayerRow(NamedTuple):
    """One layer of a model diagram."""

    name: str
    kind: str
    output_shape: str
    parameters: int


def plot_epoch_curves(
    history: Sequence[Mapping[str, float]],
    title: str,
    validation_name: str = "validation",
    selected_epoch: int = 0,
    loss_name: str = "loss (cross-entropy + L2 penalty)",
) -> Figure:
    """Loss and, of a classifier, accuracy over the epochs, training and validation.

    Args:
        history: one mapping an epoch with loss and val_loss, and of a classifier accuracy and val_accuracy.
        title: of the figure.
        validation_name: what the validation images are, for the legend.
        selected_epoch: marked with a line where it is not the last; 0 for none.
        loss_name: for its axis.
    """
    labels = {"loss": loss_name} | ({"accuracy": "accuracy"} if "accuracy" in history[0] else {})
    width = 4.5 * len(labels)
    figure = Figure(figsize=(width, 3.6))
    figure.subplots_adjust(left=0.72 / width, right=1 - 0.18 / width, bottom=0.15, top=0.88, wspace=0.25)
    figure.suptitle(title)
    epochs = np.arange(1, len(history) + 1)
    panels: list[Axes] = list(figure.subplots(1, len(labels), squeeze=False)[0])
    for axes, (name, label) in zip(panels, labels.items(), strict=True):
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
    picture = axes.imshow(values, cmap="Blues", interpolation="nearest", vmax=darkest)
    for (row, column), value in np.ndenumerate(values):
        color = "white" if value > 0.6 * darkest else "black"
        text = format(value, ".3f" if normalize else "d")
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    digits = range(len(values))
    axes.set(xticks=digits, yticks=digits)
    axes.set(title=title, xlabel="predicted digit", ylabel="true digit")
    label = "share of the row" if normalize else "images"
    figure.colorbar(picture, ax=axes, extend="max", label=f"{label} (darkest from the largest mistake on)")
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
            image[:, :, 0],
            cmap=_GRAY_REVERSED,
            vmin=0,
            vmax=1,
            extent=(column + 0.1, column + 0.9, row + 0.97, row + 0.2),
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
    return plot_image_rows(rows)


def plot_image_rows(rows: Sequence[tuple[str, FloatArray]], title: str | None = None) -> Figure:
    """A row of images for each label, on black, so that one sees where an image ends.

    Args:
        rows: label and float32 (n, 28, 28, 1); pixels outside [0, 1] are drawn as 0 or 1. All rows have the same n.
        title: of the figure.
    """
    label_width, size, title_height = 2.6, 0.8, 0.4 if title else 0.0
    width = label_width + size * len(rows[0][1]) + 0.1
    height = title_height + size * len(rows) + 0.1
    figure = Figure(figsize=(width, height))
    # One axes for the whole grid: a hundred of their own would take seconds to draw.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    if title:
        axes.text(width / 2, title_height / 2 + 0.03, title, ha="center", va="center", fontsize=10)
    for row, (label, images) in enumerate(rows):
        top = title_height + row * size + 0.05
        axes.text(label_width - 0.1, top + size / 2, label, ha="right", va="center", fontsize=9)
        for column, image in enumerate(images):
            left = label_width + column * size
            axes.imshow(
                np.clip(image[:, :, 0], 0, 1),
                cmap=_GRAY,
                vmin=0,
                vmax=1,
                extent=(left, left + size - 0.06, top + size - 0.06, top),
            )
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


def plot_beside_nearest(
    made: FloatArray, nearest: FloatArray, intended: IntArray, judged: IntArray, title: str, each: int
) -> Figure:
    """Made images, each as it became step by step, and beside it, dark on light, the nearest training image.

    What a judge reads stands in the corner of each made image.

    Args:
        made: float32 (steps, n, 28, 28, 1) in [0, 1].
        nearest: float32 (n, 28, 28, 1), to those of the last step.
        intended: int (n,), the digit that each was made as, in ascending order; -1 for none.
        judged: int (steps, n), what the judge reads.
        title: of the figure.
        each: images of a digit, in one row.
    """
    steps, n = len(made), len(nearest)
    size, gap, label_width, title_height = 0.72, 0.14, 0.85, 0.62
    block = (steps + 1) * size + gap
    # A digit may have fewer images than the others; without digits a row is as long as it can be.
    rows = [np.flatnonzero(intended == digit) for digit in np.unique(intended)]
    rows = [row[start : start + each] for row in rows for start in range(0, len(row), each)]
    width = max(label_width + block * min(each, n), 6.0)
    height = title_height + size * len(rows) + 0.1
    figure = Figure(figsize=(width, height))
    # One axes for the whole grid: hundreds of their own would take many seconds to draw.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.text(width / 2, 0.2, title, ha="center", va="center", fontsize=10)
    order = "made" if steps == 1 else f"made, sharpened {'once' if steps == 2 else 'once, twice'}"
    key = f"{order} (white on black), nearest training image (black on white); corner: what the judge reads"
    if np.any(intended >= 0):
        key += ", orange where it is not the digit intended"
    axes.text(width / 2, 0.45, key, ha="center", va="center", fontsize=8)
    for place, row in enumerate(rows):
        top = title_height + place * size
        if intended[row[0]] >= 0:
            axes.text(label_width - 0.15, top + size / 2, f"digit {intended[row[0]]}", ha="right", va="center")
        for column, index in enumerate(row):
            for step in range(steps + 1):
                left = label_width + column * block + step * size
                image = made[step, index] if step < steps else nearest[index]
                axes.imshow(
                    np.clip(image[:, :, 0], 0, 1),
                    cmap=_GRAY if step < steps else _GRAY_REVERSED,
                    vmin=0,
                    vmax=1,
                    extent=(left, left + size - 0.03, top + size - 0.03, top),
                )
                if step < steps:
                    agrees = intended[index] in (-1, judged[step, index])
                    color = "#56B4E9" if agrees else "#E69F00"
                    axes.text(left + 0.04, top + 0.03, str(judged[step, index]), va="top", fontsize=7, color=color)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


def plot_model_diagram(rows: Sequence[LayerRow], title: str) -> Figure:
    """The layers of a model from input to output, with output shapes and parameter counts."""
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
        axes.text(3.5, middle, row.kind, va="center", fontsize=9)
        axes.text(6.9, middle, row.output_shape, va="center", ha="center", fontsize=9)
        parameters = f"{row.parameters:,} parameters" if row.parameters else ""
        axes.text(9.8, middle, parameters, va="center", ha="right", fontsize=8)
        if position < len(rows) - 1:
            axes.annotate(
                "", (5, position + 1.1), (5, position + 0.77), arrowprops={"arrowstyle": "->", "color": "0.4"}
            )
    return figure
