import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mnist_flow.figures import plots as figures
from mnist_flow.figures import rendering
from mnist_flow.figures.rendering import save_figure


def read(file: Path | io.BytesIO) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB")).astype(float)


def draw_as_matplotlib(figure: Figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, dpi=120, format="png")
    return read(file)


def label(x: float, y: float, text: str, **options: object) -> Figure:
    figure = Figure(figsize=(3, 2))
    figure.text(x, y, text, **options)
    return figure


def test_a_png_has_120_pixels_an_inch(tmp_path):
    save_figure(Figure(figsize=(3, 2)), tmp_path / "a.png")
    assert read(tmp_path / "a.png").shape == (240, 360, 3)


def test_an_svg_is_written_as_matplotlib_does(tmp_path):
    save_figure(label(0.5, 0.5, "some text"), tmp_path / "a.svg")
    assert "<!-- some text -->" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rotation": 90},
        {"rotation": 30},
        {"color": "#D55E00", "fontsize": 14, "weight": "bold"},
        {"alpha": 0.5},
        {"ha": "right", "va": "top"},
    ],
    ids=["level", "turned", "oblique", "coloured", "faint", "aligned"],
)
def test_text_looks_as_matplotlib_draws_it(tmp_path, options):
    """Half a pixel to a side moves the edges of letters, but not how dark they are, nor where."""
    figure = label(120 / 360, 96 / 240, "Digits gjy\n$10^{-4}$", **options)
    save_figure(figure, tmp_path / "a.png")
    ours, theirs = read(tmp_path / "a.png"), draw_as_matplotlib(figure)
    assert theirs.min() < 200
    assert abs(ours.sum() / theirs.sum() - 1) < 1e-3
    for axis in (0, 1):
        ink, expected = ((255 - picture).sum(axis=(axis, 2)) for picture in (ours, theirs))
        places = np.arange(len(ink))
        assert np.average(places, weights=ink) == pytest.approx(np.average(places, weights=expected), abs=0.6)


def test_text_at_the_edge_is_cut_off(tmp_path):
    save_figure(label(0.98, 0.98, "beyond the edge"), tmp_path / "a.png")
    assert read(tmp_path / "a.png").shape == (240, 360, 3)


def test_the_second_figure_of_a_process_draws_no_text_anew(tmp_path):
    confusion = np.arange(100).reshape(10, 10)
    save_figure(figures.plot_confusion_matrix(confusion, "a run"), tmp_path / "first.png")
    drawn = rendering._draw_text.cache_info().misses
    save_figure(figures.plot_confusion_matrix(confusion.T, "a run"), tmp_path / "second.png")
    assert rendering._draw_text.cache_info().misses == drawn
    assert np.any(read(tmp_path / "first.png") != read(tmp_path / "second.png"))
