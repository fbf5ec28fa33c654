"""Descriptions that MLflow's page shows of experiments and runs, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import mlflow
import pandas as pd

from mnist_flow.config.overrides import type_override
from mnist_flow.config.presets import describe_preset
from mnist_flow.tracking import names

# Characters of a tag's value in MLflow's database.
_MAX_LENGTH = 8000


def describe_experiment(name: str) -> str:
    """Describe an experiment when it is made: what a preset asks, and how to read and draw what will be in it."""
    draw = f"python -m mnist_flow.analyze study=curves {type_override('tracking.experiment_name', name)}"
    parts = [
        *([told] if (told := describe_preset(name)) else []),
        "A run named `sweep …` has the runs of a sweep below it; its page has their results as a table.",
        f"Draw what is here: `{draw}`",
    ]
    return "\n\n".join(parts)


def join_parts(*parts: str) -> str:
    """Join paragraphs to a description; what is too long for MLflow's database is cut."""
    text = "\n\n".join(part for part in parts if part)
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 2]} …"


def _escape(text: str) -> str:
    return text.replace("|", r"\|")


def format_table(table: pd.DataFrame) -> str:
    """A table of texts, numbers and NaN; its index is left out.

    MLflow's page leaves no room between columns, so the cells bring some.
    """

    def to_row(cells: Sequence[object]) -> str:
        texts = ["" if cell != cell else f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in cells]
        return "| " + " ".join(f"{_escape(text)}&emsp;|" for text in texts)

    rows = table.astype(object).to_numpy().tolist()
    return "\n".join([to_row(list(table)), "|" + "---|" * len(table.columns), *map(to_row, rows)])


def show_figures(run_id: str, paths: Sequence[str]) -> None:
    """Show figures among a run's artifacts in its description; those that are shown there stay where they are.

    MLflow's page shows pictures in their own size, which of a study's SVG fits, and of its PNG is too large.

    Args:
        paths: of SVG files among its artifacts.
    """
    client = mlflow.MlflowClient()
    note = client.get_run(run_id).data.tags.get(names.NOTE_TAG, "")
    # MLflow's page asks its server for the picture.
    pictures = [
        f"`{path}`\n\n![{path}](get-artifact?{urlencode({'path': path, 'run_uuid': run_id})})" for path in paths
    ]
    if new := [picture for picture in pictures if picture not in note]:
        client.set_tag(run_id, names.NOTE_TAG, join_parts(note, *new))
