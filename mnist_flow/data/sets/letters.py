"""Printed letters A to Z, drawn from the fonts that matplotlib brings along."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
from pydantic import model_validator
from scipy import ndimage

from mnist_flow.config.train import DataSection
from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.data.dataset import RawData

# Those of the test part are styles that training never sees, of families that it does.
_TRAIN_FONTS = (
    *("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-BoldItalic"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-BoldOblique"),
    *("STIXGeneral", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmss10", "cmtt10"),
)
_TEST_FONTS = ("DejaVuSans-Bold", "DejaVuSerif-Italic", "DejaVuSansMono-Oblique", "STIXGeneralBol", "cmb10")
_TRAIN_DRAWS, _TEST_DRAWS = 16, 12  # images of a letter in a font
_SIDE = 28  # pixels of an image
_POINTS = 72  # size that letters are drawn at before they are scaled; points of 1/72 inch at 72 dots an inch
_FINE = 2  # pixels that are averaged to one of an image, along each side
_WIDEST = 0.85  # a letter that is wider than its height through this is scaled by its width, or W would be cut off
# Ranges of the jitter, each drawn uniformly: degrees, shear, height of a letter in pixels, and shift in pixels.
_ROTATION, _SHEAR, _HEIGHT, _SHIFT = (-12, 12), (-0.2, 0.2), (15, 21), (-2, 2)


class Config(DataSection):
    """6,240 printed letters for training and 1,560 in other fonts for testing, as many of each."""

    @model_validator(mode="after")
    def check_path(self) -> Config:
        if self.path is not None:
            raise ValueError(f"data.path={self.path}: belongs to data=files; the letters are drawn")
        return self


def load(path: str | None = None) -> RawData:
    """Draw the letters, white on black: each turned, sheared, scaled and moved by chance, the same in every process.

    Args:
        path: nothing is read from a file, so this is not used.
    """
    x_train, y_train = _draw_part(_TRAIN_FONTS, _TRAIN_DRAWS, np.random.default_rng(0))
    x_test, y_test = _draw_part(_TEST_FONTS, _TEST_DRAWS, np.random.default_rng(1))
    return RawData(
        "letters of matplotlib's fonts",
        (_SIDE, _SIDE, 1),
        tuple(string.ascii_uppercase),
        x_train,
        y_train,
        x_test,
        y_test,
    )


def _draw_part(fonts: tuple[str, ...], draws: int, rng: np.random.Generator) -> tuple[np.ndarray, IntArray]:
    """Images, uint8 (n, side, side), and labels (n,) of every letter in every font, in an order by chance."""
    glyphs = [_draw_glyph(font, letter) for font in fonts for letter in string.ascii_uppercase]
    images = [_jitter(glyph, rng) for glyph in glyphs for _ in range(draws)]
    labels = np.tile(np.repeat(np.arange(len(string.ascii_uppercase)), draws), len(fonts))
    order = rng.permutation(len(labels))
    return np.rint(np.stack(images) * 255).astype(np.uint8)[order], labels[order]


def _draw_glyph(font: str, letter: str) -> FloatArray:
    """A letter, large and tightly cut, float32 (height, width) in [0, 1]."""
    # Takes a tenth of a second to import; other data sets do without.
    import matplotlib as mpl
    from matplotlib.ft2font import FT2Font, LoadFlags

    drawn = FT2Font(Path(mpl.get_data_path(), "fonts", "ttf", f"{font}.ttf"))
    drawn.set_size(_POINTS, 72)
    # Hints would fit the outline to the pixels of this size.
    drawn.set_text(letter, flags=LoadFlags.NO_HINTING)
    drawn.draw_glyphs_to_bitmap(antialiased=True)
    pixels = np.asarray(drawn.get_image(), np.float32) / np.float32(255)
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _jitter(glyph: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A letter in an image, float32 (side, side) in [0, 1], turned about its centre, sheared, scaled and moved."""
    angle, shear, height = np.deg2rad(rng.uniform(*_ROTATION)), rng.uniform(*_SHEAR), rng.uniform(*_HEIGHT)
    shift = rng.uniform(*_SHIFT, 2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    # From a place in the image (row, column) to one in the glyph.
    size = max(glyph.shape[0], _WIDEST * glyph.shape[1])
    matrix = turn @ np.array([[1, 0], [shear, 1]]) * size / (height * _FINE)
    side = _SIDE * _FINE
    centre = (np.array(glyph.shape) - 1) / 2
    offset = centre - matrix @ ((side - 1) / 2 + shift * _FINE)
    fine = ndimage.affine_transform(glyph, matrix, offset, (side, side), order=1)
    return np.asarray(fine.reshape(_SIDE, _FINE, _SIDE, _FINE).mean(axis=(1, 3)), np.float32)
