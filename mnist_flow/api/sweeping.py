"""A sweep from a notebook: the command in a process of its own, followed live, and the tables of its parent run."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.types import RunMode

from mnist_flow.api.composition import Overrides, composed, reword_way_on, split_overrides
from mnist_flow.api.turns import one_at_a_time
from mnist_flow.errors import RunError, UserError
from mnist_flow.runtime.processes import wait_for_end
from mnist_flow.runtime.terminal import print_line

if TYPE_CHECKING:
    import pandas as pd

# What the command prints at its end: the page of the parent run.
_LINK = re.compile(r"\S+/#/experiments/\w+/runs/(\w+)\S*")
# How many jobs are done, of how many, and how many failed, in what the command prints when one ends.
_COUNTS = re.compile(r"\[(\d+)/(\d+)\b(?:[^\]]*?(\d+) failed)?")
# What the line begins with that tells why the command ends.
_ERROR = "error: "
# Jupyter tells its processes that what they print is shown as on a terminal.
_OF_A_TERMINAL = ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
_POOL = "hydra_plugins.hydra_joblib_launcher"


@dataclass(frozen=True)
class Sweep:
    """A sweep that has ended, or a search."""

    # The parent run and its page; None where every job was finished before, in other sweeps. There are no tables
    # then: `runs` has the runs.
    run_id: str | None
    link: str | None
    # By name. summary: a row per job; replicates: a row per setting, the mean and spread over seeds and folds; grid:
    # the jobs as they were asked for. Of a search trials, space and, where there are any, importances and confirmation.
    tables: Mapping[str, pd.DataFrame] = field(repr=False)


def sweep(overrides: Overrides, *, config_dir: str | Path | None = None) -> Sweep:
    """Train what is missing of a sweep, in processes of their own; TensorFlow in this process plays no part in it.

    A line for each job that ends is shown at once; Jupyter also shows a bar. Interrupting the cell ends the sweep, and
    the same call goes on with it. Without `hydra/launcher` the jobs share the cores in a pool of processes. Of several
    presets the last one's sweep is returned.

    Args:
        overrides: what `python -m mnist_flow.train -m` takes, as one text, "reg=0,1e-4 seed=0,1", or as a list.
        config_dir: a folder with options of your own, as `--config-dir` names it.

    Raises:
        UserError: bad config, data or tracking server; nothing was started.
        RunError: jobs failed, the others are finished; or the sweep's record could not be delivered.
    """
    words = split_overrides(overrides)
    with composed("config", words, config_dir, RunMode.MULTIRUN) as cfg:
        uri = cfg.tracking.uri
    if (
        not any(word.startswith("hydra/launcher=") for word in words)
        and find_spec("hydra_plugins")
        and find_spec(_POOL)
    ):
        words.append("hydra/launcher=local_pool")
    folder = [] if config_dir is None else ["--config-dir", str(Path(config_dir).resolve())]
    link, run_id = None, None
    for line in _run_command([*folder, *words]):
        if found := _LINK.search(line):
            link, run_id = found[0], found[1]
    if run_id is None:
        return Sweep(None, None, {})
    from mnist_flow import tracking

    with one_at_a_time():
        tracking.configure(uri, writes=False)
        return Sweep(run_id, link, tracking.fetch_sweep_tables(run_id))


def _run_command(arguments: list[str]) -> list[str]:
    """Run the train command on a sweep, show what it prints, and return its lines.

    Where it is interrupted, the interruption has a note that says how to go on.

    Raises:
        UserError: bad input.
        RunError: it failed otherwise.
    """
    command = [sys.executable, "-m", "mnist_flow.train", "-m", *arguments]
    with one_at_a_time():
        # The call of another thread may set variables for a moment, such as that of its tracking server.
        environment = {name: value for name, value in os.environ.items() if name not in _OF_A_TERMINAL}
    environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    show, printed = _choose_display(), list[str]()

    def take(line: str) -> None:
        printed.append(line)
        if not line.startswith(_ERROR):
            show(line)

    def find_error() -> str:
        return next((line.removeprefix(_ERROR) for line in reversed(printed) if line.startswith(_ERROR)), "")

    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        lines = map(str.rstrip, process.stdout)
        try:
            for line in lines:
                take(line)
        except BaseException as ending:
            # What it prints until its end is read meanwhile: a full pipe would hold it up.
            with ThreadPoolExecutor(1) as reader:
                rest = reader.submit(list, lines)
                wait_for_end(process, ending)
            for line in rest.result():
                take(line)
            if error := find_error():
                ending.add_note(reword_way_on(error))
            raise
    if process.returncode:
        kind = UserError if process.returncode == 2 else RunError
        raise kind(find_error() or f"the sweep ended with exit status {process.returncode}")
    return printed


def _choose_display() -> Any:
    """What shows a line: in Jupyter a display that is updated in place, elsewhere a print."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return _JupyterDisplay().show if hasattr(shell, "kernel") else print_line


class _JupyterDisplay:
    """A bar of the jobs that are done, above the lines of the sweep, in the output of a cell."""

    def __init__(self) -> None:
        from IPython.display import display

        self._lines, self._bar = list[str](), ""
        self._handle = display({"text/plain": ""}, raw=True, display_id=True)

    def show(self, line: str) -> None:
        """Show one more line, and move the bar as it says."""
        self._lines.append(line)
        if counts := _COUNTS.search(line):
            done, total, failed = counts.groups()
            told = f"{done} of {total} done" + (f", {failed} failed" if int(failed or 0) else "")
            self._bar = f"<progress value={done} max={total}></progress> {told}"
        text = "\n".join(self._lines)
        shown = f"{self._bar}<pre style='max-height: 20em; overflow: auto'>{html.escape(text)}</pre>"
        # The plain text is for a notebook that is converted or compared.
        self._handle.update({"text/html": shown, "text/plain": text}, raw=True)
