"""What a study draws, and how it is written to files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from mnist_flow.errors import UserError

_PNG_DPI = 150
# Resolution of what is an image within an SVG, such as thousands of points.
_SVG_DPI = 100


@dataclass(frozen=True)
class Drawing:
    """Figures and tidy tables of a study, by what they show; "" is the study itself."""

    figures: dict[str, Figure] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    # The metric whose mean, difference, … the tables hold; None: several metrics.
    metric: str | None = None
    # Figures that show images of the data set, saved as PNG only: they are not published with the code.
    pictures: dict[str, Figure] = field(default_factory=dict)
    # The parent run that all of it is of, and is logged to; None: the parents of all runs of the study.
    parent_run_id: str | None = None


def save_drawing(drawing: Drawing, folder: Path, name: str) -> list[Path]:
    """Write `<name>.png`, `.svg` and `.csv`, or `<name>_<what>`, in place of earlier ones; of pictures only the PNG.

    The same data gives the same SVG, byte for byte, with one version of matplotlib.

    Raises:
        UserError: the folder can't be written.
    """

    files: list[Path] = []

    def add_file(what: str, ending: str) -> Path:
        files.append(folder / f"{name}{'_' if what else ''}{what}{ending}")
        return files[-1]

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for what, figure in drawing.figures.items():
            figure.savefig(add_file(what, ".png"), dpi=_PNG_DPI)
            with mpl.rc_context({"svg.hashsalt": "mnist_flow"}):
                figure.savefig(add_file(what, ".svg"), metadata={"Date": None}, dpi=_SVG_DPI)
        for what, figure in drawing.pictures.items():
            figure.savefig(add_file(what, ".png"), dpi=_PNG_DPI)
        for what, table in drawing.tables.items():
            table.to_csv(add_file(what, ".csv"), index=False)
    except OSError as error:
        raise UserError(f"output_dir={folder}: can't be written ({error.strerror}); choose another folder") from error
    return files
