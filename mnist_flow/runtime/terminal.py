"""What a person sees in the terminal while a run trains and when it has ended."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run

log = logging.getLogger(__name__)

# Seconds between two looks at the tracking server.
_POLL_SECONDS = 2.0


class TrainingProgress:
    """A live bar on a terminal, one line an epoch elsewhere.

    Args:
        epochs: epochs of the training.
        n_images: training images an epoch.
        first_epoch: epochs done before, of a training that goes on.
    """

    def __init__(self, epochs: int, n_images: int, first_epoch: int = 0) -> None:
        self._console = Console()
        self._epochs = epochs
        self._n_images = n_images
        self._first_epoch = first_epoch
        self._validation = ""
        self._start = self._epoch_start = time.perf_counter()
        self._bar: Progress | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[metrics]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False),
                console=self._console,
                transient=False,
            )
            self._task = self._bar.add_task(
                f"epoch {first_epoch + 1}/{epochs}",
                total=epochs * n_images,
                completed=first_epoch * n_images,
                metrics="",
            )

    def __enter__(self) -> TrainingProgress:
        if self._bar is not None:
            self._bar.start()
        self._start = self._epoch_start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_steps(self, epoch: int, images_done: int, metrics: Mapping[str, float]) -> None:
        """Move the bar; epochs count from 1."""
        rate = images_done / (time.perf_counter() - self._epoch_start)
        self._move(epoch, images_done, f"{_describe(metrics)}{self._validation}  {rate:,.0f} images/s")

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Show the validation's accuracy, or its loss; without a bar, print the epoch's line."""
        now = time.perf_counter()
        rate = self._n_images / (now - self._epoch_start)
        name = "val_accuracy" if "val_accuracy" in metrics else "val_loss"
        self._validation = f"  {name} {metrics[name]:.4f}"
        shown = f"{_describe(metrics)}{self._validation}  {rate:,.0f} images/s"
        if self._bar is None:
            seconds = (now - self._start) / (epoch - self._first_epoch)
            left = timedelta(seconds=round(seconds * (self._epochs - epoch)))
            print(f"epoch {epoch}/{self._epochs}  {shown}  {left} left", flush=True)
        self._move(epoch, self._n_images, shown)
        self._epoch_start = now

    def _move(self, epoch: int, images_done: int, shown: str) -> None:
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=(epoch - 1) * self._n_images + images_done,
                description=f"epoch {epoch}/{self._epochs}",
                metrics=shown,
            )


def _describe(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {metrics[name]:.4f}" for name in ("loss", "accuracy") if name in metrics)


def print_summary(title: str, rows: Mapping[str, str]) -> None:
    """One table with a row a result."""
    console = Console()
    table = Table(title=Text(title), title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(Text(name), Text(value))
    if console.is_terminal:
        console.print(table)
    else:
        # A log is not as narrow as the 80 columns that rich takes where there is no terminal.
        Console(width=160).print(table)


class SweepProgress:
    """One display of a sweep: jobs done, running, failed, time left; and a line for each job that ends.

    Args:
        labels: what to call each job, by fingerprint.
        n_done: how many of them were done before.
        fetch: Unix time in milliseconds → the runs that ended since, and the number of those that are running.
    """

    def __init__(
        self, labels: Mapping[str, str], n_done: int, fetch: Callable[[int], tuple[Sequence[Run], int]]
    ) -> None:
        self._labels = labels
        self._n_jobs = len(self._labels)
        self._n_before = n_done
        self._fetch = fetch
        # A cluster's clocks may differ by some minutes.
        self._since = int(time.time() * 1000) - 600_000
        self._seen: set[tuple[str, int]] = set()
        self._statuses: dict[str, str] = {}
        self._start = time.perf_counter()
        self._console = Console()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress of the sweep", daemon=True)
        self._bar: Progress | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=20),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}", markup=False),
                console=self._console,
            )
            self._task = self._bar.add_task(self._describe(0), total=self._n_jobs, completed=n_done, left="")

    def __enter__(self) -> SweepProgress:
        try:
            ended, _ = self._fetch(self._since)
            self._seen = {_key(run) for run in ended}
        except Exception:
            log.debug("no news of the sweep", exc_info=True)
        if self._bar is not None:
            self._bar.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if kind is None or issubclass(kind, Exception):
            self._thread.join()
            self._look()
        if self._bar is not None:
            self._bar.stop()

    def _watch(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        try:
            ended, n_running = self._fetch(self._since)
        except Exception:
            # The server is away; the sweep goes on, and so does its display when the server is back.
            log.debug("no news of the sweep", exc_info=True)
            return
        for run in ended:
            fingerprint = run.data.tags.get("mnist_flow.fingerprint", "")
            if _key(run) in self._seen or fingerprint not in self._labels:
                continue
            self._seen.add(_key(run))
            # Who ends next, by a clock that is a minute behind.
            self._since = max(self._since, run.info.end_time - 60_000)
            self._statuses[fingerprint] = run.info.status
            self._print(self._describe_run(run, n_running))
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=self._describe(n_running),
                completed=self._n_before + self._count("FINISHED"),
                left=self._describe_left(),
            )

    def _describe_run(self, run: Run, n_running: int) -> str:
        label = self._labels[run.data.tags["mnist_flow.fingerprint"]]
        metrics = run.data.metrics if run.info.status == "FINISHED" else {}
        names = ("val_accuracy", "test_accuracy") if "val_accuracy" in metrics else ("val_loss", "test_loss")
        measured = "".join(f"  {name} {metrics[name]:.4f}" for name in names if name in metrics)
        line = f"{label or 'job'}  {run.info.status}{measured}"
        return line if self._bar is not None else f"{line}  [{self._describe(n_running)}{self._describe_left()}]"

    def _describe(self, n_running: int) -> str:
        failed = self._count("FAILED") + self._count("KILLED")
        done = self._n_before + self._count("FINISHED")
        return f"{done}/{self._n_jobs} done, {n_running} running, {failed} failed"

    def _describe_left(self) -> str:
        done = len(self._statuses)
        left = self._n_jobs - self._n_before - done
        if not done or not left:
            return ""
        seconds = (time.perf_counter() - self._start) / done * left
        return f", {timedelta(seconds=round(seconds))} left"

    def _count(self, status: str) -> int:
        return sum(found == status for found in self._statuses.values())

    def _print(self, line: str) -> None:
        if self._bar is not None:
            self._console.print(Text(line))
        else:
            print(line, flush=True)


def _key(run: Run) -> tuple[str, int]:
    """A run that is taken up again ends twice."""
    return run.info.run_id, run.info.end_time


def print_line(text: str) -> None:
    """One line on standard output."""
    print(text, flush=True)


def print_plan(grid: pd.DataFrame, states: Sequence[str], seconds: float | None, n_workers: int | None) -> None:
    """What a command would do.

    Args:
        grid: one row a job.
        states: finished, alive, interrupted or new, one a job.
        seconds: computing time of what is left, where it is known.
        n_workers: jobs at a time, where it is known.
    """
    words = {"finished": "done", "alive": "running", "interrupted": "goes on", "new": "new"}
    shown = grid.drop(columns="fingerprint").assign(state=[words[state] for state in states])
    print_table(shown, f"{len(grid)} job{'s' if len(grid) > 1 else ''}")
    n_left = sum(state in ("new", "interrupted") for state in states)
    print(f"{len(grid) - n_left} done or running, {n_left} to train")
    if not n_left:
        return
    if seconds is None:
        print("time: unknown; no finished run of such a model yet")
    elif n_workers is None:
        print(f"time: about {timedelta(seconds=round(seconds))} of computing, by the finished runs of these models")
    else:
        left = timedelta(seconds=round(seconds / min(n_workers, n_left)))
        print(f"time: about {left} with {n_workers} at a time, by the finished runs of these models")


def print_missing(presets: pd.DataFrame, n_workers: int | None) -> None:
    """What is missing of a reproduction.

    Args:
        presets: one row a preset: experiment, jobs, done, running, to train, and seconds of computing, NaN if unknown.
        n_workers: jobs at a time, where it is known.
    """
    times = [_describe_seconds(seconds) for seconds in presets["seconds"]]
    times = ["" if n == 0 else time for n, time in zip(presets["to train"], times, strict=True)]
    print_table(presets.drop(columns="seconds").assign(computing=times), "studies of the reports")
    open_ones = presets[presets["to train"] > 0]
    known, unknown = open_ones["seconds"].dropna(), int(open_ones["seconds"].isna().sum())
    print(f"{presets['to train'].sum()} runs to train")
    if len(known):
        workers = "of computing" if n_workers is None else f"with {n_workers} at a time"
        print(f"time: about {_describe_seconds(known.sum() / (n_workers or 1))} {workers}")
    if unknown:
        print(f"time of {unknown} of the studies: unknown; no finished run of such a model yet")


def _describe_seconds(seconds: float) -> str:
    return "unknown" if seconds != seconds else str(timedelta(seconds=round(seconds)))


def print_replicates(replicates: pd.DataFrame, varying: Sequence[str], objective: str) -> None:
    """The groups of a sweep, the best twenty: mean ± sample standard deviation over the seeds.

    Args:
        replicates: from `summary.build_replicates`.
        varying: the columns that tell the groups apart.
        objective: the metric to sort by, shown with the test accuracy, or of denoisers with the test loss.
    """
    if f"{objective}_mean" not in replicates:
        return
    table = replicates.sort_values(f"{objective}_mean", ascending=objective.endswith("loss"))
    shown = table[[*varying, "n"]].copy()
    of_test = "test_accuracy" if "test_accuracy_mean" in replicates else "test_loss"
    for name in dict.fromkeys((objective, of_test)):
        shown[name] = [
            f"{mean:.4f}" + (f" ± {std:.4f}" if std == std else "")
            for mean, std in zip(table[f"{name}_mean"], table[f"{name}_std"], strict=True)
        ]
    more = f"the best 20 of {len(shown)}, " if len(shown) > 20 else ""
    title = f"{more}best {objective} first: mean ± sample standard deviation over n seeds"
    print_table(shown.head(20), title)


def print_evaluations(summary: pd.DataFrame) -> None:
    """What was measured, a row an evaluation, the first fifty.

    Args:
        summary: from `measurement.evaluate_runs`.
    """
    more = f", the first 50 of {len(summary)}" if len(summary) > 50 else ""
    results = list(summary.select_dtypes("float"))
    shown = summary[["run", "run_id", "measure", *results, "state"]].head(50)
    for name in results:
        shown[name] = ["" if value != value else f"{value:.4f}" for value in shown[name]]
    print_table(shown, f"evaluations{more}")


def print_table(table: pd.DataFrame, title: str, percent: Collection[str] = ()) -> None:
    """A table under its title, numbers to the right with at most six significant digits; NaN is an empty cell.

    Args:
        table: what to print.
        title: the line above it.
        percent: columns of shares, which are shown in percent.
    """
    print(title)
    drawn = Table()
    numbers = set(table.select_dtypes("number"))
    for name in table:
        drawn.add_column(Text(str(name)), justify="right" if name in numbers else "left")
    for row in table.itertuples(index=False):
        cells = zip(table, row, strict=True)
        drawn.add_row(*(Text(_format_cell(cell, name in percent)) for name, cell in cells))
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(drawn)


def _format_cell(cell: object, is_share: bool) -> str:
    if not isinstance(cell, float):
        return str(cell)
    if math.isnan(cell):
        return ""
    return f"{100 * cell:.5g} %" if is_share else f"{cell:.6g}"
