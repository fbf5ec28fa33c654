"""Commands as functions: what a study shows in a notebook, and what makes no run."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

import mnist_flow
from mnist_flow.api.commands import Study
from mnist_flow.errors import ConfigError
from mnist_flow.training import devices


def test_a_study_shows_its_first_figure():
    figures = {"": Figure(figsize=(3, 2)), "classes": Figure(figsize=(5, 5))}
    tables = {"": pd.DataFrame({"a": [1]}), "classes": pd.DataFrame()}
    study = Study(figures, tables, [])
    assert study.figure is figures[""]
    assert study.table is tables[""]
    shown = study._repr_png_()
    assert shown.startswith(b"\x89PNG")
    assert [int.from_bytes(shown[place : place + 4], "big") for place in (16, 20)] == [300, 200]
    assert "Figure" not in repr(study)


def test_a_plan_makes_no_run(store):
    with pytest.raises(ConfigError, match=r"^plan=true: makes no run; mnist_flow\.sweep takes it$"):
        mnist_flow.train("data=digits plan=true")
    assert store.get_experiment_by_name("mnist_flow") is None


@pytest.mark.parametrize(
    ("further", "notes"), [("", ["the same call goes on from the last finished epoch"]), ("resume=false", [])]
)
def test_an_interrupted_training_says_how_to_go_on(store, monkeypatch, further, notes):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(devices, "reset_keras", interrupt)
    with pytest.raises(KeyboardInterrupt) as raised:
        mnist_flow.train(f"data=digits model=mlp 'model.hidden_units=[8]' epochs=1 {further}")
    assert getattr(raised.value, "__notes__", []) == notes
