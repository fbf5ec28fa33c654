"""What a person sees in the terminal while a run trains and when it has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text


class TrainingProgress:
    """A live bar on a terminal, one line an epoch elsewhere.

    Args:
        epochs: epochs of the training.
        n_images: training images an epoch.
        label: put before each line, to tell the jobs of a sweep apart.
        live: a bar is wanted; without a terminal it is lines all the same.
    """

    def __init__(self, epochs: int, n_images: int, label: str = "", live: bool = True) -> None:
        self._console = Console()
        self._epochs = epochs
        self._n_images = n_images
        self._label = label
        self._validation = ""
        self._start = self._epoch_start = time.perf_counter()
        self._bar: Progress | None = None
        if live and self._console.is_terminal:
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
            self._task = self._bar.add_task(f"{label}epoch 1/{epochs}", total=epochs * n_images, metrics="")

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
        """Show the validation accuracy; without a bar, print the epoch's line."""
        now = time.perf_counter()
        rate = self._n_images / (now - self._epoch_start)
        self._validation = f"  val_accuracy {metrics['val_accuracy']:.4f}"
        shown = f"{_describe(metrics)}{self._validation}  {rate:,.0f} images/s"
        if self._bar is None:
            left = timedelta(seconds=round((now - self._start) / epoch * (self._epochs - epoch)))
            print(f"{self._label}epoch {epoch}/{self._epochs}  {shown}  {left} left", flush=True)
        self._move(epoch, self._n_images, shown)
        self._epoch_start = now

    def _move(self, epoch: int, images_done: int, shown: str) -> None:
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=(epoch - 1) * self._n_images + images_done,
                description=f"{self._label}epoch {epoch}/{self._epochs}",
                metrics=shown,
            )


def _describe(metrics: Mapping[str, float]) -> str:
    return f"loss {metrics['loss']:.4f}  accuracy {metrics['accuracy']:.4f}"


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
