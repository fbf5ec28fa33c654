"""examples/notebook.ipynb: short, without outputs, and executed in a kernel of its own."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from commands import command_environment
from support import PROJECT_DIR

NOTEBOOK = PROJECT_DIR / "examples" / "notebook.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_short_and_has_no_outputs(notebook):
    assert len(notebook.cells) <= 15
    ran = [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count") is not None]
    assert ran == []


@pytest.mark.slow
@pytest.mark.launchers
@pytest.mark.timeout(600)
def test_every_cell_runs_and_shows_what_it_is_for(notebook, tmp_path):
    client = NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=command_environment())
    _, swept, study, differences, runs, curves, _, mistakes, link = [
        cell.outputs for cell in notebook.cells if cell.cell_type == "code"
    ]
    assert "<progress value=24 max=24></progress> 24 of 24 done" in swept[0].data["text/html"]
    assert "[24/24 done, 0 running, 0 failed]" in swept[0].data["text/html"]
    for pictures in (study, curves, mistakes):
        assert "image/png" in pictures[-1].data
    for tables in (differences, runs):
        assert "<table" in tables[-1].data["text/html"]
    assert "/#/experiments/" in link[-1].data["text/plain"]
