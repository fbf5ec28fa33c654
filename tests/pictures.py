"""What a reader sees of a figure, in words and numbers, to be compared with a snapshot."""

from __future__ import annotations

import re

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, PathCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text

# Values of an array, or texts of axes, that are written one by one; of more values, their ends and sums.
_MOST_WRITTEN = 24


def describe_figure(figure: Figure) -> list[str]:
    """Describe a figure from its title to the last text within its axes, a line each.

    Numbers have four digits, and ids of runs are not told.
    """
    lines = [f"figure {_write(figure.get_size_inches())}"]
    lines += [_describe_text(text) for text in figure.texts]
    lines += [_describe_legend(legend) for legend in figure.legends]
    for axes in figure.axes:
        lines += _describe_axes(axes)
    return lines


def _describe_axes(axes: Axes) -> list[str]:
    lines = [f"axes {_write(axes.get_position().bounds)}: {axes.get_title()!r}"]
    if not axes.axison:
        lines.append("  not drawn itself")
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        limits = axis.get_view_interval()
        axis.get_ticklabels()  # Fills the ticks in.
        ticks = [
            f"{_write(tick.get_loc())} {tick.label1.get_text()!r}"
            for tick in axis.get_major_ticks()
            if min(limits) <= tick.get_loc() <= max(limits)
        ]
        lines.append(
            f"  {name} {axis.get_scale()} {_write(limits)}, visible {axis.get_visible()}: {axis.get_label_text()!r}, "
            + ", ".join(ticks)
        )
    told = {axes.patch, axes.title, axes.xaxis, axes.yaxis, *axes.spines.values()}
    others = [artist for artist in axes.get_children() if artist not in told]
    texts = [artist for artist in others if isinstance(artist, Text)]
    lines += [f"  {_describe_artist(artist)}" for artist in others if artist not in texts]
    return lines + [f"  {line}" for line in _describe_texts([text for text in texts if text.get_text()])]


def _describe_artist(artist: Artist) -> str:
    shown = f"{type(artist).__name__}{'' if artist.get_visible() else ' hidden'}"
    label = artist.get_label()
    shown += f" {label!r}" if isinstance(label, str) and not label.startswith("_") else ""
    if isinstance(artist, Line2D):
        style = f"{to_hex(artist.get_color())} {artist.get_linestyle()} {artist.get_marker()}"
        return f"{shown} {style} x {_write(artist.get_xdata())} y {_write(artist.get_ydata())}"
    if isinstance(artist, Rectangle):
        return f"{shown} {to_hex(artist.get_facecolor())} {_write(artist.get_bbox().bounds)}"
    if isinstance(artist, Patch):
        return f"{shown} {to_hex(artist.get_facecolor())} {_write(artist.get_path().vertices)}"
    if isinstance(artist, Legend):
        return _describe_legend(artist)
    if isinstance(artist, QuadMesh):  # Of a colour bar, whose axes are told.
        return f"{shown} {artist.get_cmap().name} {_write(artist.get_clim())}"
    if isinstance(artist, PathCollection):
        return f"{shown} {_write_colors(artist)} {_write(artist.get_offsets())} values {_write(artist.get_array())}"
    if isinstance(artist, Collection):
        # Lines of runs come in any order.
        paths = sorted(_write(path.vertices) for path in artist.get_paths())
        return f"{shown} {_write_colors(artist)} {'; '.join(paths)}"
    if hasattr(artist, "get_array"):
        return f"{shown} {artist.get_cmap().name} {_write(artist.get_clim())} {_write(artist.get_array())}"
    return shown


def _describe_texts(texts: list[Text]) -> list[str]:
    """Of many, such as those of a matrix, the texts of each colour are one line."""
    if len(texts) <= _MOST_WRITTEN:
        return [_describe_text(text) for text in texts]
    of_color: dict[str, list[str]] = {}
    for text in texts:
        of_color.setdefault(to_hex(text.get_color()), []).append(text.get_text())
    places = _write([text.get_position() for text in texts])
    return [f"Texts {color} {' '.join(written)}" for color, written in of_color.items()] + [f"Texts at {places}"]


def _describe_text(text: Text) -> str:
    written = re.sub("[0-9a-f]{32}", "RUN", text.get_text())
    return f"Text {written!r} {to_hex(text.get_color())} {_write(getattr(text, 'xy', text.get_position()))}"


def _describe_legend(legend: Legend) -> str:
    entries = [
        f"{text.get_text()!r} {type(handle).__name__}"
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    ]
    return f"legend {legend.get_title().get_text()!r}: {', '.join(entries)}"


def _write_colors(collection: Collection) -> str:
    return " ".join(
        dict.fromkeys(to_hex(color) for color in [*collection.get_facecolor(), *collection.get_edgecolor()])
    )


def _write(values: object) -> str:
    if values is None:
        return "none"
    array = np.ma.filled(values, np.nan) if np.ma.isMaskedArray(values) else np.asarray(values)
    try:
        array = array.astype(float)
    except ValueError:  # Names of categories.
        return str(array.tolist())
    if array.ndim == 0:
        return f"{array:.4g}"
    if array.size <= _MOST_WRITTEN:
        return f"[{' '.join(f'{value:.4g}' for value in array.flat)}]"
    # The second sum tells an order from another.
    numbers = np.nan_to_num(array.ravel())
    sums = numbers.sum(), numbers @ np.arange(1, array.size + 1) / array.size
    return f"{array.shape} from {array.min():.4g} to {array.max():.4g}, sums {sums[0]:.4g} and {sums[1]:.4g}"
