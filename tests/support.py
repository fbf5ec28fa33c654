"""What several test modules share."""

import os
import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parent.parent

# One run on the digits in a second or two of training.
QUICK = ["data=digits", "model=mlp", "model.hidden_units=[16]", "epochs=2", "batch_size=32"]


def command_environment(**variables: str) -> dict[str, str]:
    """The environment of a subprocess: this one's without tracking variables, with the project importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "COLUMNS"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, "PYTHONPATH": str(PROJECT_DIR), **variables}
