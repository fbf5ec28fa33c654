"""The pieces of work about searches, and what each contender's command is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.pieces import OURS, TITLES, Contender, Work
from benchmarks.processes import CommandError, run_command
from benchmarks.traces import read_trace

GRID, LOOP = "grid", "loop"
# Trials that a search adds to those it knows, few and many, to tell what a trial costs from what a search costs.
ADDED_TRIALS = 2, 22
# Jobs of a grid a learning rate, and its learning rates.
_JOBS_A_RATE = 12
_RATES = ("0.003", "0.01", "0.03", "0.1", "0.3")
TRIALS = tuple(_JOBS_A_RATE * (number + 1) for number in range(len(_RATES)))
_TRAIN_IMAGES, _HELD_OUT_IMAGES = 20_000, 4_000

_SMALL = ("data=digits", "model=mlp_64_64", "tracking.experiment_name=known")
_SEARCH = (
    *(
        "mnist_flow.train",
        "-m",
        "hydra/sweeper=optuna",
        *_SMALL,
        "optimizer.learning_rate=tag(log,interval(0.001,0.1))",
    ),
    *("optimizer.momentum=interval(0,0.9)", "reg=tag(log,interval(1e-7,1e-3))"),
)


def build_trial_work(known: int, epochs: int) -> Work:
    """What a trial costs beyond a grid's job.

    Args:
        known: number of trials that the search has already.
        epochs: of each training.
    """
    few, many = ADDED_TRIALS

    def search(trials: int) -> tuple[str, ...]:
        return (*_SEARCH, f"epochs={epochs}", f"hydra.sweeper.n_trials={known + trials}")

    def grid(jobs: int) -> tuple[str, ...]:
        rates = ",".join(f"{0.01 + number / 1000:g}" for number in range(jobs))
        return ("mnist_flow.train", "-m", *_SMALL, f"optimizer.learning_rate={rates}", f"epochs={epochs}")

    return Work(
        "g",
        f"what a trial costs beyond a grid's job, {known:,} trials known",
        (
            *(Contender(f"grid_{n}", f"a grid of {n} jobs", grid(n)) for n in ADDED_TRIALS),
            *(Contender(f"search_{n}", f"a search that adds {n} trials", search(n)) for n in ADDED_TRIALS),
        ),
        epochs,
        reference=f"grid_{many}",
        prepare=lambda folder, data: _prepare_trials(folder, known, search),
        renewed=True,
        about=f"The digits, 64-64, in one process, TPE over three numbers. The store, SQLite, has a search of {known:,}"
        " trials, whose runs are copies of one that was trained, and is the same before each command. What a "
        f"trial costs is the difference between {many} and {few}, divided by {many - few}: the start of a search,"
        " in which it rebuilds the study, and its end are apart.",
    )


def _prepare_trials(folder: Path, known: int, search: Any) -> dict[str, str]:
    python, experiment = [sys.executable, "-m"], "known"
    run_command([*python, *search(1 - known)], folder)
    run_command([*python, "benchmarks.trials", "--experiment", experiment, "--trials", str(known)], folder)
    planned = run_command([*python, *search(0), "plan=true"], folder).output
    if f"{known} trials: {known} complete, 0 pruned, 0 failed, 0 resumed, 0 new" not in planned:
        raise CommandError(f"the search does not know the trials that were made for it:\n{planned}")
    return {"known": str(known)}


def build_search_work(trials: int, epochs: int) -> Work:
    """A search of pruned trials beside a grid and plain Optuna.

    Args:
        trials: of each contender, one of TRIALS.
        epochs: that a trial has if it is not pruned.
    """
    ours = (
        *("mnist_flow.train", "-m", "hydra/launcher=local_pool", "model=mlp_500_300", "data.path={images}"),
        *(f"data.holdout_size={_HELD_OUT_IMAGES}", f"epochs={epochs}"),
    )
    search = (
        *("hydra/sweeper=optuna", "hydra.sweeper.seed={round}", f"hydra.sweeper.n_trials={trials}"),
        *("hydra.sweeper.pruner=median", "optimizer.learning_rate=tag(log,interval(0.003,0.3))"),
        *("optimizer.momentum=interval(0,0.9)", "reg=tag(log,interval(1e-7,1e-3))", "batch_size=range(64,257,64)"),
    )
    grid = (
        f"optimizer.learning_rate={','.join(_RATES[: trials // _JOBS_A_RATE])}",
        *("optimizer.momentum=0,0.45,0.9", "reg=1e-6,1e-4", "batch_size=64,256"),
    )
    loop = ("--images", "{split}", "--trials", str(trials), "--epochs", str(epochs), "--seed", "{round}")
    return Work(
        "h",
        f"a search of {trials} pruned trials of 500-300, {epochs} epoch{'s' if epochs > 1 else ''}",
        (
            Contender(
                LOOP, "plain Optuna with model.fit and MLflow", ("benchmarks.peers.optuna_loop", *loop), runs=trials
            ),
            Contender(GRID, f"{TITLES[OURS]}, a grid of {trials} jobs", (*ours, *grid), runs=trials),
            Contender(OURS, f"{TITLES[OURS]}, a search", (*ours, *search), runs=trials),
        ),
        reference=LOOP,
        prepare=_prepare_images,
        renewed=True,
        read=lambda folder, began: read_trace(folder / "mlflow.db", began),
        about=f"MNIST's first {_TRAIN_IMAGES + _HELD_OUT_IMAGES:,} training images, of which all contenders hold out "
        f"the same {_HELD_OUT_IMAGES:,} and train on {_TRAIN_IMAGES:,}. Space: learning rate 0.003 to 0.3 and λ "
        "1e-7 to 1e-3, both logarithmic, momentum 0 to 0.9, batches of 64, 128, 192 or 256; the grid has values "
        "of it. Both searches have Optuna's TPE and median pruner as they are by default, and ROUND is the "
        "sampler's seed. The plain loop is `study.optimize`: one trial after another, TensorFlow with a thread a"
        " core, a callback that reports each epoch and asks whether to prune, and for each trial a run of MLflow"
        " with params, metrics and, unless it was pruned, the model. Ours are tracked as always, with figures "
        "and a test at the end of each run, in a process a core. A trial counts from the end of its run.",
    )


def _prepare_images(folder: Path, data: str) -> dict[str, str]:
    files = {"images": str(folder / "images.npz"), "split": str(folder / "split.npz")}
    command = [sys.executable, "-m", "benchmarks.images", "--data", data, "--n", str(_TRAIN_IMAGES + _HELD_OUT_IMAGES)]
    run_command(
        [*command, "--held-out", str(_HELD_OUT_IMAGES), "--images", files["images"], "--split", files["split"]], folder
    )
    return files
