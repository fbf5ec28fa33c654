"""The layers of a model as a diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch


class LayerRow(NamedTuple):
    """One layer of a model diagram."""

    name: str
    kind: str
    output_shape: str
    parameters: int


def plot_model_diagram(rows: Sequence[LayerRow], title: str) -> Figure:
    """Plot the layers of a model from input to output, with output shapes and parameter counts."""
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
