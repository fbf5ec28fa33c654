"""Live progress of a training and of a sweep: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from mlflow.entities import Run

log = logging.getLogger(__name__)

# Seconds between two requests to the tracking server.
_POLL_SECONDS = 2.0


class TrainingProgress:
    """Progress of one training: a live bar on a terminal, one line per epoch in a log.

    Args:
        epochs: number of epochs of the whole training.
        n_images: number of training images per epoch.
        first_epoch: number of epochs that were finished before, when a training is resumed.
    """

    def __init__(self, epochs: int, n_images: int, first_epoch: int = 0) -> None:
        self._epochs = epochs
        self._n_images = n_images
        self._first_epoch = first_epoch
        self._validation = ""
        self._start = self._epoch_start = time.perf_counter()
        self._bar = _make_bar(
            TextColumn("{task.fields[metrics]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
        )
        self._task = self._bar.add_task(
            f"epoch {first_epoch + 1}/{epochs}", total=epochs * n_images, completed=first_epoch * n_images, metrics=""
        )

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        self._start = self._epoch_start = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    @property
    def prints_lines(self) -> bool:
        """Whether each epoch has a line, since there is no bar."""
        return bool(self._bar.disable)

    def on_steps(self, epoch: int, images_done: int, metrics: Mapping[str, float]) -> None:
        """Move the bar within an epoch.

        Args:
            epoch: the epoch, counted from 1.
            images_done: number of images of this epoch that were trained on.
            metrics: running training metrics of this epoch; `loss` and `accuracy` are shown.
        """
        rate = images_done / (time.perf_counter() - self._epoch_start)
        self._move(epoch, images_done, f"{_describe(metrics)}{self._validation}  {rate:,.0f} images/s")

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Finish an epoch, counted from 1: show its metrics, or print them as a line where there is no bar."""
        now = time.perf_counter()
        rate = self._n_images / (now - self._epoch_start)
        name = "val_accuracy" if "val_accuracy" in metrics else "val_loss"
        self._validation = f"  {name} {metrics[name]:.4f}"
        shown = f"{_describe(metrics)}{self._validation}  {rate:,.0f} images/s"
        if self._bar.disable:
            seconds = (now - self._start) / (epoch - self._first_epoch)
            left = timedelta(seconds=round(seconds * (self._epochs - epoch)))
            print(f"epoch {epoch}/{self._epochs}  {shown}  {left} left", flush=True)
        self._move(epoch, self._n_images, shown)
        self._epoch_start = now

    def _move(self, epoch: int, images_done: int, shown: str) -> None:
        self._bar.update(
            self._task,
            completed=(epoch - 1) * self._n_images + images_done,
            description=f"epoch {epoch}/{self._epochs}",
            metrics=shown,
        )


def _make_bar(*columns: ProgressColumn) -> Progress:
    """Make a bar with a description before it and columns behind it; without a terminal it shows nothing."""
    console = Console()
    first = TextColumn("{task.description}", markup=False), BarColumn(bar_width=20)
    return Progress(*first, *columns, console=console, disable=not console.is_terminal)


def _describe(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {metrics[name]:.4f}" for name in ("loss", "accuracy") if name in metrics)


class SweepProgress:
    """Progress of a sweep: jobs done, running and failed, the time left, and a line for each job that ends.

    A thread asks the tracking server, since the jobs may run on any machine.

    Args:
        labels: fingerprint → name of each job.
        n_done: number of jobs that were finished before the sweep began.
        fetch: Unix time in milliseconds → the runs that have ended since, and the number of runs in progress.
    """

    def __init__(
        self, labels: Mapping[str, str], n_done: int, fetch: Callable[[int], tuple[Sequence[Run], int]]
    ) -> None:
        self._labels = labels
        self._n_jobs = len(self._labels)
        self._n_before = n_done
        self._fetch = fetch
        # Look back ten minutes, because the clocks of a cluster may differ.
        self._since = int(time.time() * 1000) - 600_000
        self._seen: set[tuple[str, int]] = set()
        self._statuses: dict[str, str] = {}
        self._start = time.perf_counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress of the sweep", daemon=True)
        self._bar = _make_bar(TimeElapsedColumn(), TextColumn("{task.fields[left]}", markup=False))
        self._task = self._bar.add_task(self._describe(0), total=self._n_jobs, completed=n_done, left="")

    def __enter__(self) -> SweepProgress:
        try:
            ended, _ = self._fetch(self._since)
            self._seen = {_key(run) for run in ended}
        except Exception:
            log.debug("no news of the sweep", exc_info=True)
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
        self._bar.stop()

    def _watch(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        try:
            ended, n_running = self._fetch(self._since)
        except Exception:
            # The server does not answer: the sweep goes on, and the display follows once the server is back.
            log.debug("no news of the sweep", exc_info=True)
            return
        for run in ended:
            fingerprint = run.data.tags.get("mnist_flow.fingerprint", "")
            if _key(run) in self._seen or fingerprint not in self._labels:
                continue
            self._seen.add(_key(run))
            # The next run may end on a machine whose clock is up to a minute behind.
            self._since = max(self._since, run.info.end_time - 60_000)
            self._statuses[fingerprint] = run.info.status
            # With a bar, rich puts what is printed above it.
            print(self._describe_run(run, n_running), flush=True)
        if not self._bar.disable:
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
        return f"{line}  [{self._describe(n_running)}{self._describe_left()}]" if self._bar.disable else line

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


def _key(run: Run) -> tuple[str, int]:
    """Identify one end of a run, because a run that is resumed ends more than once."""
    return run.info.run_id, run.info.end_time
