from __future__ import annotations

import pandas as pd

from mnist_flow.analysis.drawing import Drawing, save_drawing


def test_folders_within_folders_are_made(tmp_path):
    drawing = Drawing(tables={"": pd.DataFrame({"x": [1]})})
    (file,) = save_drawing(drawing, tmp_path / "a" / "b", "study")
    assert file.read_text() == "x\n1\n"
    assert file == tmp_path / "a" / "b" / "study.csv"
