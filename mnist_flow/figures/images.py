"""Grids of images: mistakes, moved images, reconstructions, samples. Colour images are drawn in colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.data.transforms import DIRECTIONS, Fill, shift_images

_CAPTION_LENGTH = 24  # characters that find room above an image of the grid of mistakes
# Classes of which images are drawn side by side; of more of them a figure would become too large to be looked at.
MOST_SHOWN = 30

_LETTER_WIDTH = 0.075  # inches, of the texts beside rows of images
# Objects and not names: by its name, each image of a grid would get a table of colours of its own.
_GRAY, _GRAY_REVERSED = colormaps["gray"], colormaps["gray_r"]


def plot_misclassified(
    images: FloatArray,
    true: IntArray,
    predicted: IntArray,
    confidence: FloatArray,
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """Plot images in a grid, each with its true class, the predicted one and the predicted one's probability.

    Args:
        images: float32 (n, height, width, channels) in [0, 1]; n may be 0.
        true: int (n,), labels.
        predicted: int (n,), labels.
        confidence: float (n,), 0 to 1.
        class_names: of the labels 0, 1, …
    """
    columns = 5
    rows = max(1, -(-len(images) // columns))
    # In inches: of the place of an image with its caption, and of the image in it.
    cell_width, cell_height, size, title_height = 1.5, 1.6, 1.2, 0.6
    figure = Figure(figsize=(cell_width * columns, cell_height * rows + title_height))
    figure.suptitle(title, fontsize=10)
    # One axes for the whole grid: 25 of their own take three times as long to draw.
    axes = figure.add_axes((0, 0, 1, 1 - title_height / figure.get_figheight()))
    axes.axis("off")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        left, bottom = column + (1 - size / cell_width) / 2, row + 0.98
        _draw_image(axes, image, (left, left + size / cell_width, bottom, bottom - size / cell_height), _GRAY_REVERSED)
        names = class_names[true[index]], class_names[predicted[index]]
        caption = f"{names[0]} taken for {names[1]} ({confidence[index]:.0%})"
        if len(caption) <= _CAPTION_LENGTH:
            axes.text(column + 0.5, row + 0.19, caption, ha="center", fontsize=8)
        else:
            true_name, predicted_name = (shorten_name(name, 13) for name in names)
            caption = f"{true_name}\ntaken for {predicted_name} ({confidence[index]:.0%})"
            axes.text(column + 0.5, row + 0.2, caption, ha="center", fontsize=7)
    axes.set(xlim=(0, columns), ylim=(rows, 0), aspect="auto")
    if not len(images):
        axes.text(columns / 2, rows / 2, "none", ha="center")
    return figure


def plot_shifted_images(images: FloatArray, pixels: int, fills: Sequence[Fill], directions: Sequence[str]) -> Figure:
    """Plot images as they are, and moved: a column an image, a row a fill and direction.

    Args:
        images: float32 (n, height, width, channels) in [0, 1], as they are; n at least 1.
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
    """Plot a row of images for each text, light on black, so that one sees where an image ends.

    Args:
        rows: text and float32 (n, height, width, channels), n the same for all; pixels outside [0, 1] are drawn as 0
            or 1.
    """
    letters = max(len(line) for label, _ in rows for line in label.splitlines() or [""])
    label_width, size, title_height = 0.2 + _LETTER_WIDTH * letters, 0.8, 0.4 if title else 0.0
    width = max(label_width + size * len(rows[0][1]) + 0.1, _LETTER_WIDTH * len(title or "") + 0.4)
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
            _draw_image(axes, image, (left, left + size - 0.06, top + size - 0.06, top), _GRAY)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


def plot_beside_nearest(
    made: FloatArray,
    nearest: FloatArray,
    intended: IntArray,
    judged: IntArray,
    class_names: Sequence[str],
    title: str,
    each: int,
) -> Figure:
    """Plot synthetic images, each as it became step by step, and beside it, dark on light, the nearest training image.

    What a reference classifier takes it for stands in the corner of each synthetic image.

    Args:
        made: float32 (steps, n, height, width, channels) in [0, 1].
        nearest: float32 (n, height, width, channels), to those of the last step.
        intended: int (n,), the label that each was made as, in ascending order; -1 for none.
        judged: int (steps, n), the labels that the reference classifier predicts.
        class_names: of the labels 0, 1, …
        each: images of a class, in one row.
    """
    steps, n = len(made), len(nearest)
    size, gap, title_height = 0.72, 0.14, 0.62
    names = [shorten_name(name, 20) for name in class_names]
    label_width = max(0.85, 0.6 + 0.08 * max(map(len, names)))
    block = (steps + 1) * size + gap
    # A class may have fewer images than the others; without classes a row is as long as it can be.
    rows = [np.flatnonzero(intended == label) for label in np.unique(intended)]
    rows = [row[start : start + each] for row in rows for start in range(0, len(row), each)]
    width = max(label_width + block * min(each, n), 6.0)
    height = title_height + size * len(rows) + 0.1
    figure = Figure(figsize=(width, height))
    # One axes for the whole grid: hundreds of their own would take many seconds to draw.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.text(width / 2, 0.2, title, ha="center", va="center", fontsize=10)
    order = "made" if steps == 1 else f"made, sharpened {'once' if steps == 2 else 'once, twice'}"
    is_grey = made.shape[-1] == 1
    shades = (" (white on black)", " (black on white)") if is_grey else ("", " (on the right)")
    key = f"{order}{shades[0]}, nearest training image{shades[1]}; corner: what the classifier predicts"
    if np.any(intended >= 0):
        key += ", orange where it is not the class intended"
    axes.text(width / 2, 0.45, key, ha="center", va="center", fontsize=8)
    # Names could not be read on images in colour, or grey ones of the same lightness.
    outline = [withStroke(linewidth=1.5, foreground="black")]
    for place, row in enumerate(rows):
        top = title_height + place * size
        if intended[row[0]] >= 0:
            name = f"class {names[intended[row[0]]]}"
            axes.text(label_width - 0.15, top + size / 2, name, ha="right", va="center")
        for column, index in enumerate(row):
            for step in range(steps + 1):
                left = label_width + column * block + step * size
                image = made[step, index] if step < steps else nearest[index]
                extent = (left, left + size - 0.03, top + size - 0.03, top)
                _draw_image(axes, image, extent, _GRAY if step < steps else _GRAY_REVERSED)
                if step < steps:
                    agrees = intended[index] in (-1, judged[step, index])
                    color = "#56B4E9" if agrees else "#E69F00"
                    name = shorten_name(class_names[judged[step, index]], 10)
                    axes.text(left + 0.04, top + 0.03, name, va="top", fontsize=7, color=color, path_effects=outline)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


def shorten_name(name: str, most: int) -> str:
    """The name of a class, cut to so many characters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _draw_image(axes: Axes, image: FloatArray, extent: tuple[float, float, float, float], shades: Colormap) -> None:
    """Draw an image (height, width, channels), in shades if it has one channel; pixels outside [0, 1] as 0 or 1.

    Args:
        image: it is centred within the extent, where its sides differ.
        extent: left, right, bottom and top of a place for a square image.
        shades: of an image with one channel.
    """
    height, width = image.shape[:2]
    left, right, bottom, top = extent
    x_margin, y_margin = ((1 - side / max(height, width)) / 2 for side in (width, height))
    extent = (
        *(left + x_margin * (right - left), right - x_margin * (right - left)),
        *(bottom + y_margin * (top - bottom), top - y_margin * (top - bottom)),
    )
    pixels = np.clip(image[:, :, 0] if image.shape[2] == 1 else image, 0, 1)
    axes.imshow(pixels, cmap=shades, vmin=0, vmax=1, extent=extent)
