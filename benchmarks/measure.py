"""One piece of work: its contenders in turns, several rounds; every raw number is kept."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_sitting, find_torch, find_version
from benchmarks.pieces import TORCH, Contender, Training, Work
from benchmarks.processes import CommandError, run_command

# Of the protocol: 10,000 of MNIST's training images are held out.
N_TRAIN, N_VALIDATION, N_TEST = 50_000, 10_000, 10_000


def measure_work(
    work: Work, rounds: int, data: str, torch_python: str, say: Callable[[str], None], reduced: bool = False
) -> dict[str, Any]:
    """Measure a piece of work.

    Args:
        rounds: how many times every contender does it.
        data: the file with MNIST.
        torch_python: the Python that the PyTorch loop runs in.
        say: told what is going on.
        reduced: the work is not what the page is about; only a check.

    Returns:
        A record for docs/benchmarks.json.

    Raises:
        CommandError: a contender failed, or did not do the work.
    """
    torch_version = find_torch(torch_python)
    record = describe_sitting(torch_version)
    left_out = dict(work.left_out)
    contenders = []
    for contender in work.contenders:
        installed = torch_version if contender.needs == TORCH else contender.needs and find_version(contender.needs)
        if contender.needs and not installed:
            left_out[contender.title] = f"{contender.needs} is not installed, so it was not run"
        else:
            contenders.append(contender)
    record |= {
        "title": work.title,
        "about": work.about,
        "epochs": work.epochs,
        "rounds": rounds,
        "reduced": reduced,
        "reference": work.reference,
        "measure": work.measure,
        "contenders": {
            one.name: {
                "title": one.title,
                "command": one.command,
                "one_thread": one.one_thread,
                "precision": one.precision,
                **({} if one.reference is None else {"reference": one.reference}),
            }
            for one in contenders
        },
        "left_out": left_out,
        "gflop": None,
        "ceiling": {},
        "facts": {},
        "measurements": [],
    }
    if work.training is not None:
        say(f"{work.key}: the machine's matrix product rate")
        record["gflop"] = _count_gflop(work.training, work.epochs or 0, of_epoch=work.measure == "epoch_seconds")
        record["ceiling"] = {str(n): measure_ceiling(n) for n in sorted({1, record["cores"]})}
    with tempfile.TemporaryDirectory(prefix="mnist_flow_benchmark_") as scratch:
        prepared, facts = Path(scratch, "prepared"), {}
        if work.prepare is not None:
            prepared.mkdir()
            say(f"{work.key}: preparation")
            facts = work.prepare(prepared, data)
            # Paths are of this machine, and of no interest.
            record["facts"] = {name: value for name, value in facts.items() if not Path(value).is_absolute()}
        kept = Path(scratch, "kept")
        if work.renewed:
            shutil.copytree(prepared, kept)
        for number in range(1, rounds + 1):
            # Each round begins with another one, so that none always has the machine fresh, or warm.
            shift = (number - 1) % len(contenders)
            for contender in contenders[shift:] + contenders[:shift]:
                # Trainings start with an empty store.
                folder = prepared if work.prepare is not None else Path(scratch, f"{number}_{contender.name}")
                folder.mkdir(exist_ok=True)
                if work.renewed:
                    # To the same place, since the store has absolute paths.
                    shutil.rmtree(folder)
                    shutil.copytree(kept, folder)
                began = time.time()
                values = _run(contender, folder, {**facts, "round": str(number)}, data, torch_python)
                if work.read is not None:
                    values = work.read(folder, began) | values
                if work.prepare is None:
                    # What is prepared holds runs of another's training.
                    values = _read_store(folder / "mlflow.db") | values
                _check(contender, values)
                record["measurements"].append({"round": number, "contender": contender.name, **values})
                say(f"{work.key}: round {number} of {rounds}, {contender.title}: {values[work.measure]:.2f} s")
                if folder != prepared:
                    shutil.rmtree(folder)
    return record


def measure_ceiling(threads: int) -> float:
    """GFLOP/s of a float32 matrix product with so many threads."""
    command = [sys.executable, "-m", "benchmarks.ceiling", "--threads", str(threads)]
    return run_command(command, Path(tempfile.gettempdir())).report["gflops"]


def _run(contender: Contender, folder: Path, facts: dict[str, str], data: str, torch_python: str) -> dict[str, Any]:
    python = torch_python if contender.needs == TORCH else sys.executable
    arguments = [argument.format(**facts) if "{" in argument else argument for argument in contender.arguments]
    finished = run_command([python, "-m", *arguments], folder, variables={"MNIST_NPZ": data})
    return {
        "seconds": finished.seconds,
        "processor_seconds": finished.processor_seconds,
        "peak_bytes": finished.peak_bytes,
        **finished.report,
    }


def _check(contender: Contender, values: dict[str, Any]) -> None:
    """What is measured must be what it is called."""
    if contender.runs is not None and values.get("runs", 0) != contender.runs:
        raise CommandError(f"{contender.command}: {values.get('runs', 0)} trainings ended well, not {contender.runs}")
    if values.get("mlflow_imported", 0):
        raise CommandError(f"{contender.command}: MLflow is imported where nothing shall be tracked")


def _read_store(file: Path) -> dict[str, float]:
    """How many runs ended with a test accuracy, and its mean."""
    if not file.is_file():
        return {}
    with closing(sqlite3.connect(file)) as database:
        query = "SELECT COUNT(*), AVG(value) FROM latest_metrics JOIN runs USING (run_uuid)"
        query += " WHERE key = 'test_accuracy' AND status = 'FINISHED'"
        runs, accuracy = database.execute(query).fetchone()
    return {"runs": runs, "test_accuracy": accuracy} if runs else {}


def _count_gflop(training: Training, epochs: int, of_epoch: bool) -> float:
    """GFLOP of the whole work, or of one epoch of one run."""
    from hydra import compose, initialize_config_dir

    from benchmarks.flops import count_training, list_costs
    from mnist_flow import CONF_DIR
    from mnist_flow.config.train import TrainConfig
    from mnist_flow.config.validation import validate_config
    from mnist_flow.data.loading import load_info
    from mnist_flow.models import build_model
    from mnist_flow.runtime.native_output import native_stderr_hidden

    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        config = validate_config(compose("config", list(training.overrides)), TrainConfig)
    # TensorFlow chats when it is imported and when it first runs.
    with native_stderr_hidden():
        # The digits have the size and the classes of MNIST, and need no file.
        costs = list_costs(build_model(config.model, load_info("digits"), config.reg))
    if of_epoch:
        return count_training(costs, 1, N_TRAIN, N_VALIDATION) / 1e9
    return training.runs * count_training(costs, epochs, N_TRAIN, N_VALIDATION, N_TEST) / 1e9
