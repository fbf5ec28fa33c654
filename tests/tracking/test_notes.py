"""What MLflow's page says of experiments and runs."""

from __future__ import annotations

import math

import pandas as pd

from mnist_flow import tracking
from mnist_flow.tracking.notes import format_table, join_parts, show_figures


def test_an_experiment_says_what_its_preset_asks_and_how_to_draw_it(store):
    tags = store.get_experiment(tracking.get_or_create_experiment("learning_rate")).tags
    assert tags["mlflow.note.content"].startswith(
        "Report 000-2B: eight learning rates. It shows that 0.25 and 0.5 lead"
    )
    draw = "`python -m mnist_flow.analyze study=curves tracking.experiment_name=learning_rate`"
    assert tags["mlflow.note.content"].endswith(f"Draw what is here: {draw}")


def test_an_experiment_that_is_there_already_keeps_its_description(store):
    experiment_id = store.create_experiment("theirs", tags={"mlflow.note.content": "ours"})
    assert tracking.get_or_create_experiment("theirs") == experiment_id
    assert store.get_experiment(experiment_id).tags["mlflow.note.content"] == "ours"


def test_a_table_in_markdown():
    table = pd.DataFrame(
        {"reg": [0.0, 1e-5], "n": [3, 1], "layers": ["[1|2]", "x"], "std": [0.25, math.nan]}, index=[7, 8]
    )
    assert format_table(table).splitlines() == [
        "| reg&emsp;| n&emsp;| layers&emsp;| std&emsp;|",
        "|---|---|---|---|",
        r"| 0&emsp;| 3&emsp;| [1\|2]&emsp;| 0.25&emsp;|",
        "| 1e-05&emsp;| 1&emsp;| x&emsp;| &emsp;|",
    ]


def test_a_description_is_cut_where_mlflow_takes_no_more():
    assert len(join_parts("a" * 5000, "", "b" * 5000)) == 8000


def test_a_figure_is_shown_once_below_the_result(store):
    run_id = store.create_run(store.create_experiment("x"), tags={"mlflow.note.content": "**reg=0**"}).info.run_id
    for _ in range(2):
        show_figures(run_id, ["analysis/a b.svg"])
    picture = f"![analysis/a b.svg](get-artifact?path=analysis%2Fa+b.svg&run_uuid={run_id})"
    assert store.get_run(run_id).data.tags["mlflow.note.content"] == f"**reg=0**\n\n`analysis/a b.svg`\n\n{picture}"
