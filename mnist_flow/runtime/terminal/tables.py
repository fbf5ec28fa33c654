"""Lines and tables on standard output: a run's summary, a plan, replicates, evaluations."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

_BAR_WIDTH = 24  # characters


def print_line(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(text, flush=True)


def count(number: int, noun: str) -> str:
    """Say how many there are: 1 run, 2 runs."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def format_mean(mean: float, std: float, form: str, unit: str = "", form_of_std: str | None = None) -> str:
    """Write a mean ± its sample standard deviation and their unit, `98.64 ± 0.07 %`.

    Args:
        mean: NaN, of no values: the text is empty.
        std: NaN, of a single value: it is left out.
        form: a format specification, such as `.2f`.
        unit: what follows, with the space before it.
        form_of_std: a format specification of its own; None: `form`.
    """
    if math.isnan(mean):
        return ""
    spread = "" if math.isnan(std) else f" ± {std:{form_of_std or form}}"
    return f"{mean:{form}}{spread}{unit}"


def print_summary(title: str, rows: Mapping[str, str]) -> None:
    """Print a table of two columns, names and values, under a title."""
    table = Table(title=Text(title), title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(Text(name), Text(value))
    _print_wide(table)


def print_plan(grid: pd.DataFrame, states: Sequence[str], seconds: float | None, n_workers: int | None) -> None:
    """Print the jobs of a command, which of them are done, and how long the others will take.

    Args:
        grid: one row per job, with a column `fingerprint`, which is not shown.
        states: one per job: finished, alive, interrupted or new.
        seconds: computing time of the jobs that are left; None if unknown.
        n_workers: number of jobs that run at the same time; None if unknown.
    """
    words = {"finished": "done", "alive": "running", "interrupted": "goes on", "new": "new"}
    shown = grid.drop(columns="fingerprint").assign(state=[words[state] for state in states])
    print_table(shown, count(len(grid), "job"))
    n_left = sum(state in ("new", "interrupted") for state in states)
    print(f"{len(grid) - n_left} done or running, {n_left} to train")
    if n_left:
        print_time(seconds, "the finished runs of these models", n_left, n_workers)


def print_time(seconds: float | None, told_by: str, n_left: int, n_workers: int | None) -> None:
    """Print how long runs will take.

    Args:
        seconds: their computing time; None if unknown.
        told_by: what it is estimated from.
        n_left: number of runs.
        n_workers: number of runs at the same time; None if unknown.
    """
    if seconds is None:
        print("time: unknown; no finished run of such a model on these images yet")
    elif n_workers is None:
        print(f"time: about {timedelta(seconds=round(seconds))} of computing, by {told_by}")
    else:
        left = timedelta(seconds=round(seconds / min(n_workers, n_left)))
        print(f"time: about {left} with {n_workers} at a time, by {told_by}")


def print_missing(presets: pd.DataFrame) -> None:
    """Print which runs a reproduction still has to train, and how long they will take.

    Args:
        presets: one row per preset, with the columns experiment, jobs, done, running, to train, seconds (computing
            time, NaN if unknown) and workers (number of its jobs that run at the same time, NaN if unknown).
    """
    times = [_describe_seconds(seconds) for seconds in presets["seconds"]]
    times = ["" if n == 0 else time for n, time in zip(presets["to train"], times, strict=True)]
    print_table(presets.drop(columns=["seconds", "workers"]).assign(computing=times), "studies of the reports")
    open_ones = presets[presets["to train"] > 0]
    known = open_ones[open_ones["seconds"].notna()]
    unknown = len(open_ones) - len(known)
    print(f"{count(int(presets['to train'].sum()), 'run')} to train")
    if len(known):
        seconds = (known["seconds"] / known["workers"].fillna(1)).sum()
        counts = sorted(known["workers"].dropna().unique())
        workers = f"with {' or '.join(f'{n:.0f}' for n in counts)} at a time" if counts else "of computing"
        print(f"time: about {_describe_seconds(seconds)} {workers}")
    if unknown:
        print(f"time of {unknown} of the studies: unknown; no finished run of such a model yet")


def _describe_seconds(seconds: float) -> str:
    return "unknown" if seconds != seconds else str(timedelta(seconds=round(seconds)))


def format_replicates(
    replicates: pd.DataFrame, varying: Sequence[str], objective: str, minimise: bool
) -> tuple[pd.DataFrame, str]:
    """Format the twenty best groups of a sweep: mean ± sample standard deviation over the seeds, or the folds.

    Args:
        replicates: one row per group, from `jobs.tables.build_replicates`.
        varying: the columns that tell the groups apart.
        objective: the metric to sort by. It is shown with the test accuracy, or with the test loss if there is none.
        minimise: whether its smallest mean comes first.

    Returns:
        The table, the best first, and its title; without rows where no job has finished.
    """
    if f"{objective}_mean" not in replicates:
        return replicates.head(0), "no job is finished"
    table = replicates.sort_values(f"{objective}_mean", ascending=minimise)
    shown = table[[*varying, *(name for name in ("n", "replicates") if name in table)]].copy()
    of_test = "test_accuracy" if "test_accuracy_mean" in replicates else "test_loss"
    for name in dict.fromkeys((objective, of_test)):
        shown[name] = [
            format_mean(mean, std, ".4f") for mean, std in zip(table[f"{name}_mean"], table[f"{name}_std"], strict=True)
        ]
    more = f"the best 20 of {len(shown)}, " if len(shown) > 20 else ""
    over = "n seeds" if "replicates" not in table else "n folds, of each the mean of its seeds"
    title = f"{more}best {objective} first: mean ± sample standard deviation over {over}"
    return shown.head(20), title


def print_replicates(replicates: pd.DataFrame, varying: Sequence[str], objective: str, minimise: bool) -> None:
    """Print what `format_replicates` returns; nothing if no job has finished."""
    shown, title = format_replicates(replicates, varying, objective, minimise)
    if len(shown):
        print_table(shown, title)


def print_evaluations(summary: pd.DataFrame) -> None:
    """Print the first fifty evaluations of logged models.

    Args:
        summary: one row per evaluation, with the columns run, run_id, measure, state, and one per number.
    """
    more = f", the first 50 of {len(summary)}" if len(summary) > 50 else ""
    results = list(summary.select_dtypes("float"))
    shown = summary[["run", "run_id", "measure", *results, "state"]].head(50)
    for name in results:
        shown[name] = ["" if value != value else f"{value:.4f}" for value in shown[name]]
    print_table(shown, f"evaluations{more}")


def print_table(
    table: pd.DataFrame,
    title: str,
    percent: Collection[str] = (),
    bars: pd.Series | None = None,
    stacks: Sequence[Sequence[str]] = (),
) -> None:
    """Print a table under a title: numbers with at most six significant digits, NaN as an empty cell.

    In a terminal that is too narrow a table of one row is printed as a list of its columns, others with their columns
    in `stacks`, or as such lists where even these would break words; other tables have their words broken.

    Args:
        table: what to print; its index is not shown.
        title: the line above the table.
        percent: columns of fractions, which are shown in percent.
        bars: numbers, one a row, that a terminal shows as bars, too, from the smallest number to the largest.
        stacks: names of columns, whose cells stand below each other where there is no room beside each other; those of
            the first one are not broken.
    """
    print(title)
    drawn = _draw_table(table, percent, bars)
    if not _fits(_measure(drawn).maximum):
        stacked = _draw_stacked(table, percent, stacks) if stacks and len(table) > 1 else None
        if stacked is not None and _fits(_measure(stacked).minimum):
            drawn = stacked
        elif stacked is not None or len(table) == 1:
            drawn = _draw_lists(table, percent)
    _print_wide(drawn)


def _draw_table(table: pd.DataFrame, percent: Collection[str], bars: pd.Series | None) -> Table:
    drawn = Table()
    numbers = set(table.select_dtypes("number"))
    columns: list[list[RenderableType]] = []
    for name in table:
        drawn.add_column(
            Text(str(name), overflow="fold"), justify="right" if name in numbers else "left", overflow="fold"
        )
        columns.append([Text(_format_cell(cell, name in percent)) for cell in table[name]])
    if bars is not None and Console().is_terminal and bars.nunique() > 1:
        lowest, highest = bars.min(), bars.max()
        drawn.add_column(Text(" to ".join(_format_cell(float(end), bars.name in percent) for end in (lowest, highest))))
        lengths = (bars - lowest).fillna(0)
        columns.append([Bar(highest - lowest, 0, length, width=_BAR_WIDTH) for length in lengths])
    for row in zip(*columns, strict=True):
        drawn.add_row(*row)
    return drawn


def _draw_stacked(table: pd.DataFrame, percent: Collection[str], stacks: Sequence[Sequence[str]]) -> Table:
    """Draw a table whose columns are those of `stacks`, each with the cells of several below each other."""
    cells = table.apply(lambda column: [_format_cell(cell, column.name in percent) for cell in column])
    # The first column is as wide as its first cells; what is longer below them is broken here.
    width = int(cells[stacks[0][0]].str.len().max())
    cells[list(stacks[0])] = cells[list(stacks[0])].map(lambda cell: textwrap.fill(cell, width))
    stacked = {"\n".join(one): cells[list(one)].agg("\n".join, axis=1) for one in stacks}
    drawn = _draw_table(cells.assign(**stacked)[list(stacked)], (), None)
    drawn.columns[0].no_wrap = drawn.show_lines = True
    return drawn


def _draw_lists(table: pd.DataFrame, percent: Collection[str]) -> Table:
    """Draw each row as a list of its columns."""
    drawn = Table(show_header=False)
    for row in table.to_dict("records"):
        for name, cell in row.items():
            drawn.add_row(Text(str(name)), Text(_format_cell(cell, name in percent), overflow="fold"))
        drawn.add_section()
    return drawn


def _fits(width: int) -> bool:
    console = Console()
    return not console.is_terminal or width <= console.width


def _measure(table: Table) -> Measurement:
    """How wide a table is without a line break (maximum), and without a broken word (minimum)."""
    console = Console()
    return console.measure(table, options=console.options.update(max_width=10_000))


def _print_wide(table: Table) -> None:
    """Print a table; where there is no terminal, as wide as it is, instead of in the 80 columns that rich assumes."""
    console = Console()
    if not console.is_terminal:
        console.width = _measure(table).maximum
    console.print(table)


def _format_cell(cell: object, is_fraction: bool) -> str:
    if not isinstance(cell, float):
        return str(cell)
    if math.isnan(cell):
        return ""
    return f"{100 * cell:.5g} %" if is_fraction else f"{cell:.6g}"
