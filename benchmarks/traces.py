"""How the best held-out accuracy of a search rises over the time since its command began."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mnist_flow.analysis.style import COLORS, LINE_STYLES, format_percent

# Seconds and the best value since then, at each time that it rose.
Trace = Sequence[Sequence[float]]


def read_trace(store: Path, began: float) -> dict[str, Any]:
    """Read from a tracking store how many trainings there were, the best of those that ended, and how it rose.

    Args:
        store: of MLflow, a SQLite file.
        began: Unix time in seconds at which the command began.
    """
    if not store.is_file():
        return {}
    with closing(sqlite3.connect(store)) as database:
        (runs,) = database.execute(
            "SELECT COUNT(DISTINCT run_uuid) FROM params WHERE key LIKE '%learning_rate'"
        ).fetchone()
        query = "SELECT end_time, value FROM latest_metrics JOIN runs USING (run_uuid)"
        query += " WHERE key = 'val_accuracy' AND status = 'FINISHED' ORDER BY end_time"
        trace: list[list[float]] = []
        for ended, value in database.execute(query):
            if not trace or value > trace[-1][1]:
                trace.append([round(ended / 1000 - began, 2), value])
    return {"runs": runs, "best": trace[-1][1] if trace else 0.0, "trace": trace}


def find_seconds(trace: Trace, value: float) -> float | None:
    """The seconds after which a trace has at least this value; None: it never has."""
    return next((seconds for seconds, best in trace if best >= value), None)


def list_traces(piece: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """The contender, the round and the numbers of each measurement of a piece that has traces."""
    for one in piece["measurements"]:
        if one.get("trace"):
            yield one["contender"], one["round"], one


def plot_traces(piece: Mapping[str, Any]) -> Figure:
    """Draw the best held-out accuracy over the time: a colour a contender, a line a round."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    names = list(piece["contenders"])
    for name, number, one in list_traces(piece):
        seconds, best = zip(*one["trace"], strict=True)
        axes.step(
            [*seconds, one["seconds"]],
            [*best, best[-1]],
            where="post",
            color=COLORS[names.index(name)],
            linestyle=LINE_STYLES[(number - 1) % len(LINE_STYLES)],
            label=piece["contenders"][name]["title"] if number == 1 else None,
        )
        axes.plot(one["seconds"], best[-1], "o", color=COLORS[names.index(name)])
    lowest = min((one["best"] for _, _, one in list_traces(piece)), default=0.0)
    axes.set_ylim(bottom=lowest - 0.02)
    axes.yaxis.set_major_formatter(format_percent)
    axes.set_xlabel("seconds since the command began")
    axes.set_ylabel("best held-out accuracy")
    axes.set_title(f"{piece['title']}; a line a round, a dot at its end", fontsize=9)
    axes.set_xlim(left=0)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure
