"""How all figures look, whatever a matplotlibrc says."""

from pathlib import Path
from typing import Any

# What `matplotlib.style.context` takes. A matplotlibrc in the folder may ask for LaTeX, say, and a training would be
# lost; with dollar signs around it the name of a class or an experiment would be read as mathematics.
STYLE: list[str | Path | dict[str, Any]] = ["default", {"text.parse_math": False}]
