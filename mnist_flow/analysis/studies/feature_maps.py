"""The outputs of every layer of a network for an image: report 002-3A, with the 32 maps of the first convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from mnist_flow import tracking
from mnist_flow.analysis import style
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns, describe_unmeasured
from mnist_flow.config.analyze import StudySection
from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.dataset import name_class
from mnist_flow.errors import TrackingError
from mnist_flow.figures import shorten_name
from mnist_flow.models.inspection import Activation, summarise_activations

_MEASURE = "feature_maps"
# Of a layer; more would be too small to see.
_MAX_MAPS = 64
_MAPS_A_ROW = 16
# More values than this are a strip of pixels instead of bars.
_MAX_BARS = 128
# Bars are numbered up to this number of them.
_MAX_NUMBERED = 20
# Bars of an output layer have the names of the classes up to this number of them, of which so many letters are written.
_MAX_NAMED, _NAME_LETTERS = 48, 16
# Pixels.
_MAX_STRIP = 256
# Inches.
_WIDTH, _CELL, _SINGLE, _BARS, _HEADING, _MARGIN = 10.2, 0.6, 1.4, 0.9, 0.42, 0.3
_STRIP_ROW, _NAME_WIDTH = 0.04, 0.18


class Config(StudySection):
    """The study has no keys of its own."""


@dataclass(frozen=True)
class _Block:
    """A layer's part of the figure."""

    heading: str
    # Pixels (rows, columns), NaN between maps and after the last value of a strip; in colour (rows, columns, 3); or
    # bars (units,).
    output: FloatArray
    low: float  # of the colours
    high: float
    width: float  # inches
    height: float
    names: Sequence[str] = ()  # of the bars; empty: their numbers


def draw(runs: StudyRuns, study: Config) -> Drawing:
    """The maps of the measured run with the lowest seed, the first experiment's first; a figure an image.

    Raises:
        TrackingError: none of the runs is measured, or the arrays can't be had.
    """
    by_experiment = runs.table.groupby("experiment", sort=False)
    ordered = pd.concat([one.sort_values("seed", kind="stable") for _, one in by_experiment])
    found = tracking.fetch_evaluations(_MEASURE, sorted(set(ordered["experiment_id"])), list(ordered["run_id"]))
    if not found:
        raise TrackingError(describe_unmeasured(runs, _MEASURE))
    run_id, evaluations = next(iter(found.items()))
    shown = ordered[ordered["run_id"] == run_id]
    arrays = tracking.fetch_arrays(evaluations[-1], f"samples/{_MEASURE}.npz")
    activations = [
        Activation(str(layer), str(kind), arrays[f"output_{number}"])
        for number, (layer, kind) in enumerate(zip(arrays["layers"], arrays["kinds"], strict=True), start=1)
    ]
    about = f"{shown['experiment'].iloc[0]}, seed {shown['seed'].iloc[0]}, run {run_id}"
    pictures = {}
    # Older evaluations have logged no names.
    names = arrays.get("class_names", np.arange(arrays["labels"].max() + 1))
    for number, label in enumerate(arrays["labels"]):
        what = f"{about}:\nwhat each layer gives for the first test image of {name_class(names)} {names[label]}"
        pictures["" if len(arrays["labels"]) == 1 else str(label)] = plot_feature_maps(
            arrays["images"][number],
            [one._replace(output=one.output[number]) for one in activations],
            style.build_title(what, shown),
            [str(name) for name in names],
        )
    table = summarise_activations(activations).assign(images=len(arrays["labels"]))
    return Drawing(tables={"": table}, pictures=pictures)


def plot_feature_maps(
    image: FloatArray, activations: Sequence[Activation], title: str, class_names: Sequence[str] = ()
) -> Figure:
    """From input to output a block a layer: maps side by side, dense layers as bars, long ones as a strip of pixels.

    The colours of a block go from its least value, or zero, to its largest, by the square root, so that weak maps can
    be seen beside strong ones.

    Args:
        image: float32 (height, width, channels), what was put in.
        activations: of this one image: outputs (height, width, maps) or (units,).
        class_names: written below the bars of the last layer, if it has one for each class and they are at most 48.
    """
    blocks = [_build_block("images: Input", image, is_colour=image.shape[2] == 3)]
    blocks += [_build_block(_name(one), one.output) for one in activations]
    names = [shorten_name(name, _NAME_LETTERS) for name in class_names]
    is_answer = blocks[-1].output.shape == (len(names),) and len(names) <= _MAX_NAMED
    if is_answer:
        blocks[-1] = replace(blocks[-1], names=names, width=max(blocks[-1].width, _NAME_WIDTH * len(names)))
    title = f"{title}\ncolours: by the square root, from a layer's least value, or 0, to its largest"
    title_height = 0.2 * (title.count("\n") + 1)
    # Longer names than digits stand upright.
    below = 0.08 * max(map(len, names)) if is_answer and not _are_short(names) else 0.0
    height = title_height + sum(_HEADING + block.height for block in blocks) + _MARGIN + below
    figure = Figure(figsize=(_WIDTH, height))
    figure.text(0.5, 1 - 0.08 / height, title, ha="center", va="top", fontsize=10)
    top = title_height
    for block in blocks:
        figure.text(_MARGIN / _WIDTH, 1 - (top + _HEADING - 0.07) / height, block.heading, va="bottom", fontsize=9)
        top += _HEADING
        axes = figure.add_axes(
            (_MARGIN / _WIDTH, 1 - (top + block.height) / height, block.width / _WIDTH, block.height / height)
        )
        _plot_block(axes, block)
        top += block.height
    return figure


def _are_short(names: Sequence[str]) -> bool:
    """Whether names fit side by side below their bars."""
    return max(map(len, names)) <= 2


def _name(activation: Activation) -> str:
    passed = ", inactive at inference: passes all" if activation.kind.endswith(("Dropout", "GaussianNoise")) else ""
    return f"{activation.layer}: {activation.kind}{passed}"


def _build_block(name: str, values: FloatArray, is_colour: bool = False) -> _Block:
    shape = " × ".join(map(str, values.shape))
    low, high = min(float(values.min()), 0.0), float(values.max())
    zero = f", {100 * np.mean(values == 0):.0f} % are 0" if (values == 0).any() else ""
    heading = f"{name}, {shape}, from {values.min():.3g} to {high:.3g}{zero}"
    full = _WIDTH - 2 * _MARGIN
    if values.ndim == 3 and is_colour:
        return _Block(heading, values, low, high, _SINGLE, _SINGLE * values.shape[0] / values.shape[1])
    if values.ndim == 3:
        count = values.shape[2]
        if count > _MAX_MAPS:
            heading += f"; first {_MAX_MAPS} of {count} maps"
        mosaic = arrange_maps(values[:, :, :_MAX_MAPS])
        columns = min(count, _MAPS_A_ROW)
        width = columns * _CELL if count > 1 else _SINGLE
        return _Block(heading, mosaic, low, high, width, width * mosaic.shape[0] / mosaic.shape[1])
    if values.size <= _MAX_BARS:
        return _Block(heading, values, low, high, full * max(values.size, 32) / _MAX_BARS, _BARS)
    width = _choose_strip_width(values.size)
    pixels = np.pad(values, (0, -values.size % width), constant_values=np.nan).reshape(-1, width)
    return _Block(f"{heading}; in rows of {width}", pixels, low, high, full, max(len(pixels), 4) * _STRIP_ROW)


def _choose_strip_width(count: int) -> int:
    """The largest width at which the rows are full, if there is one that is not too narrow."""
    return next((width for width in range(_MAX_STRIP, _MAX_STRIP // 4, -1) if count % width == 0), _MAX_STRIP)


def arrange_maps(maps: FloatArray) -> FloatArray:
    """Maps (height, width, n) as one array, 16 side by side, with a NaN between neighbours."""
    # Takes a second to import, which the other studies do without.
    from skimage.util import montage

    columns = min(maps.shape[2], _MAPS_A_ROW)
    shape = math.ceil(maps.shape[2] / columns), columns
    return montage(np.moveaxis(maps, 2, 0), fill=np.nan, grid_shape=shape, padding_width=1)[1:-1, 1:-1]


def _plot_block(axes: Axes, block: _Block) -> None:
    if block.output.ndim == 1:
        units = np.arange(len(block.output))
        axes.bar(units, block.output, color=style.COLORS[0], width=0.8)
        axes.set_xlim(-0.6, len(units) - 0.4)
        if block.names:
            axes.set_xticks(units, block.names, rotation=0 if _are_short(block.names) else 90)
        else:
            axes.set_xticks(units if len(units) <= _MAX_NUMBERED else [])
        axes.set_yticks([])
        axes.axhline(0, color="0.4", linewidth=0.6)
        axes.tick_params(labelsize=8, length=2, pad=1)
        axes.spines[["top", "right", "left"]].set_visible(False)
        return
    if block.output.ndim == 3:
        axes.imshow(np.clip(block.output, 0, 1), aspect="auto")
        axes.axis("off")
        return
    # A layer that gives nothing is dark, too.
    norm = PowerNorm(0.5, vmin=block.low, vmax=max(block.high, block.low + 1e-9))
    axes.imshow(block.output, cmap="viridis", norm=norm, aspect="auto")
    axes.axis("off")
