from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from mnist_flow.analysis.drawing import Drawing, save_drawing


def make_figure() -> Figure:
    figure = Figure()
    figure.subplots().plot([0, 1], [1, 0], marker="o")
    return figure


def test_folders_within_folders_are_made(tmp_path):
    drawing = Drawing(tables={"": pd.DataFrame({"x": [1]})})
    (file,) = save_drawing(drawing, tmp_path / "a" / "b", "study")
    assert file.read_text() == "x\n1\n"
    assert file == tmp_path / "a" / "b" / "study.csv"


def test_the_same_data_gives_the_same_svg(tmp_path):
    for name in ("one", "other"):
        save_drawing(Drawing({"": make_figure()}), tmp_path, name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()


def test_files_are_named_after_what_they_show_and_pictures_are_png_alone(tmp_path):
    table = pd.DataFrame({"x": [1]})
    drawing = Drawing({"": make_figure(), "loss": make_figure()}, {"runs": table}, pictures={"7": make_figure()})
    files = save_drawing(drawing, tmp_path, "study")
    assert [file.name for file in files] == [
        *("study.png", "study.svg", "study_loss.png", "study_loss.svg", "study_7.png", "study_runs.csv")
    ]
    assert all(file.is_file() for file in files)
