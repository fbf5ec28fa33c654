"""A matplotlib Figure to a file, at the pace of a sweep: a process draws each piece of text once."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray

_DPI = 120
# Room around a text, in pixels, for letters that reach out of their box.
_MARGIN = 4


def save_figure(figure: Figure, file: Path) -> None:
    """Write a figure with 120 pixels an inch, in the format that its file's ending names.

    In a PNG, text that is level or turned by 90° stands on whole pixels.

    Raises:
        OSError: the file can't be written.
    """
    if file.suffix == ".png":
        # A third of the time of zlib's default, for files a tenth larger.
        _Canvas(figure).print_figure(file, dpi=_DPI, pil_kwargs={"compress_level": 1})
    else:
        figure.savefig(file, dpi=_DPI)


class _Canvas(FigureCanvasAgg):
    def get_renderer(self) -> RendererAgg:
        width, height = self.get_width_height(physical=True)
        dpi = self.figure.dpi
        if getattr(self, "_made_for", None) != (width, height, dpi):
            self.renderer = _Renderer(width, height, dpi)
            self._made_for = width, height, dpi
        return self.renderer


class _Renderer(RendererAgg):
    """Takes the size and the picture of a text from where they are remembered.

    Most of a figure's time goes into its letters, and the figures of a sweep's runs have most of their texts in common:
    axes, captions, small counts.
    """

    def get_text_width_height_descent(self, s: str, prop: FontProperties, ismath: Any) -> tuple[float, float, float]:
        return _measure_text(s, prop.copy(), ismath, self.dpi)

    def draw_text(
        self,
        gc: Any,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        if angle not in (0, 90):
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)
            return
        coverage, left, below = _draw_text(s, prop.copy(), angle, ismath, self.dpi)
        picture = np.empty((*coverage.shape, 4), np.uint8)
        picture[:, :, :3] = [round(255 * part) for part in gc.get_rgb()[:3]]
        picture[:, :, 3] = coverage
        # A text's place is counted from the top, a picture's from the bottom.
        self.draw_image(gc, round(x) - left, self.height - round(y) - below, picture)


# Fonts can be changed, so the callers pass copies.
@lru_cache(maxsize=4096)
def _measure_text(text: str, font: FontProperties, ismath: Any, dpi: float) -> tuple[float, float, float]:
    """Width, height and descent, in pixels."""
    return RendererAgg(1, 1, dpi).get_text_width_height_descent(text, font, ismath)


@lru_cache(maxsize=4096)
def _draw_text(
    text: str, font: FontProperties, angle: float, ismath: Any, dpi: float
) -> tuple[NDArray[np.uint8], int, int]:
    """How much of each pixel a text covers, bottom row first, and the pixels left of its origin and below it."""
    width, height, descent = _measure_text(text, font, ismath, dpi)
    along, above, below = (math.ceil(size) + _MARGIN for size in (width, height - descent, descent))
    # Turned by 90°, counter-clockwise, it runs upwards.
    left, right, over, under = (above, below, along, _MARGIN) if angle else (_MARGIN, along, above, below)
    renderer = RendererAgg(left + right, over + under, dpi)
    renderer.draw_text(renderer.new_gc(), left, over, text, font, angle, ismath)
    coverage = np.asarray(renderer.buffer_rgba())[::-1, :, 3].copy()
    coverage.setflags(write=False)
    return coverage, left, under
