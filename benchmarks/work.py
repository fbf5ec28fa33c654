"""The pieces of work, and what each contender's command is."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.pieces import AUTOLOG, KERAS, OURS, TITLES, TORCH, Contender, Training, Work
from benchmarks.processes import run_command
from benchmarks.searches import build_search_work, build_trial_work

_LEARNING_RATES = ("0.001", "0.005", "0.025", "0.05", "0.1", "0.25", "0.5", "1")
_PENALTIES = ("1e-6", "1e-5", "1e-4")
_ANALYZED, _METRICS = "thousand", ("accuracy", "val_accuracy", "loss", "val_loss")
# Of the runs that fill a store. The digits come with a library, so that a plan needs no file.
SETTING = ("data=digits", "model=mlp_100")
STORED_LEARNING_RATES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_STORED_EPOCHS = 40
# Runs of a short and of a long sweep, to tell what a run costs from what a sweep costs.
TRACKED_RUNS = 2, 6
# 2 fills × (in place + 8 directions × 3 pixels) = 50 conditions.
_MAX_PIXELS = 3


def list_works(
    epochs: int | None = None, runs: int = 1000, bfloat16: bool = False, cores: int = 1, trials: int = 60
) -> list[Work]:
    """All pieces of work.

    Args:
        epochs: of every training instead of its own number, for a quick check.
        runs: of the analysis, and trials that a search knows.
        bfloat16: whether the processor has it.
        cores: processes that train side by side.
        trials: of the searches that are compared.
    """

    def count(usual: int) -> int:
        return usual if epochs is None else epochs

    return [
        Work(
            "a",
            "500-300, three λ",
            _trainers(
                ("--hidden", "500", "300", "--reg", *_PENALTIES),
                ("-m", "model=mlp_500_300", f"reg={','.join(_PENALTIES)}", "hydra/launcher=local_pool"),
                count(10),
                len(_PENALTIES),
            ),
            count(10),
            training=Training(("model=mlp_500_300",), len(_PENALTIES)),
        ),
        Work(
            "b",
            "100 hidden units, 8 learning rates × 3 seeds",
            _trainers(
                ("--hidden", "100", "--learning-rate", *_LEARNING_RATES, "--seed", "0", "1", "2"),
                (
                    *("-m", "model=mlp_100", f"optimizer.learning_rate={','.join(_LEARNING_RATES)}"),
                    *("seed=range(3)", "hydra/launcher=local_pool"),
                ),
                count(10),
                3 * len(_LEARNING_RATES),
            ),
            count(10),
            training=Training(("model=mlp_100",), 3 * len(_LEARNING_RATES)),
        ),
        _build_cnn_work(count(2), bfloat16),
        Work(
            "d",
            "one 64-64 run, from the shell's prompt to its end",
            _trainers(("--hidden", "64", "64"), ("model=mlp_64_64",), count(10), one_thread=True),
            count(10),
            training=Training(("model=mlp_64_64",), 1),
        ),
        Work(
            "e",
            "evaluation of 50 shift conditions",
            (
                Contender(
                    KERAS,
                    "np.roll and model.evaluate in a loop",
                    ("benchmarks.peers.evaluation_loop", "--model", "{model}", "--max-pixels", str(_MAX_PIXELS)),
                ),
                Contender(
                    OURS,
                    TITLES[OURS],
                    (
                        *("mnist_flow.evaluate", "measure=shift", f"measure.shift.max_pixels={_MAX_PIXELS}"),
                        "resume=false",
                    ),
                ),
            ),
            prepare=_train_once,
            about="Both fills × (in place, and 8 directions × 1 to 3 pixels). The model, 784-100-10, is trained and "
            "logged before; both load it. Ours tracks the table, the headlines and a figure.",
        ),
        Work(
            "f",
            f"analysis of {runs:,} runs of 40 epochs",
            (
                Contender(
                    "client",
                    "loop over MLflow's client, the same four metrics",
                    ("benchmarks.peers.analysis_loop", "--experiment", _ANALYZED, "--metrics", *_METRICS),
                ),
                Contender(
                    "client_one",
                    "loop over MLflow's client, one metric",
                    ("benchmarks.peers.analysis_loop", "--experiment", _ANALYZED),
                ),
                Contender(
                    OURS,
                    TITLES[OURS],
                    ("mnist_flow.analyze", "study=curves", f"tracking.experiment_name={_ANALYZED}"),
                ),
            ),
            reference="client",
            prepare=lambda folder, data: _fill_store(folder, runs),
            about="The store, SQLite, is filled before with runs of ten learning rates. The loops draw a line a run "
            "into one PNG; ours draws two figures of ten panels with means and spreads, each as PNG and SVG, and "
            "writes two tables.",
        ),
        _build_growth_work(runs),
        build_trial_work(runs, count(2)),
        build_search_work(trials, count(6)),
        Work(
            "i",
            "99 % in seconds, from the shell's prompt to its end",
            (Contender(OURS, TITLES[OURS], ("mnist_flow.train", "experiment=fast_99", "seed={round}"), runs=1),),
            reference=OURS,
            about="The preset of docs/FAST_99.md, which trains on all 60,000 images: imports, reading and checking the "
            "images, training, the test, and the run's record with its figures and model.",
        ),
        _build_tracking_work(count(10)),
        *(_build_epoch_work(hidden, max(2, count(6)), cores) for hidden in (("64", "64"), ("500", "300"))),
        Work(
            "help",
            "the command's help",
            (Contender(OURS, "this project", ("mnist_flow.train", "--help")),),
            reference=OURS,
        ),
    ]


def _trainers(
    loop: tuple[str, ...],
    ours: tuple[str, ...],
    epochs: int,
    runs: int = 1,
    one_thread: bool = False,
    extra: tuple[Contender, ...] = (),
) -> tuple[Contender, ...]:
    """The loops and ours, each with its arguments; `one_thread` is of ours."""
    of_loop = (*loop, "--epochs", str(epochs))
    of_ours = (*ours, f"epochs={epochs}")
    return (
        Contender(KERAS, TITLES[KERAS], ("benchmarks.peers.keras_loop", *of_loop), runs=runs),
        Contender(AUTOLOG, TITLES[AUTOLOG], ("benchmarks.peers.autolog_loop", *of_loop), "tensorboard", runs),
        Contender(TORCH, TITLES[TORCH], ("benchmarks.peers.torch_loop", *of_loop), "torch", runs),
        Contender(OURS, TITLES[OURS], ("mnist_flow.train", *of_ours), runs=runs, one_thread=one_thread),
        *extra,
    )


def _build_cnn_work(epochs: int, bfloat16: bool) -> Work:
    # A network alone on the machine takes all cores, as the loops do.
    ours = ("model=cnn_32_64_pool3", "training.threads=null")
    mixed = Contender(
        "ours_bfloat16",
        "this project, mixed_bfloat16",
        ("mnist_flow.train", *ours, "training.precision=mixed_bfloat16", f"epochs={epochs}"),
        runs=1,
        precision="mixed_bfloat16",
    )
    reason = "this processor has no bfloat16 arithmetic (neither avx512_bf16 nor amx_bf16), so it was not run"
    return Work(
        "c",
        "the cnn_32_64_pool3 CNN",
        _trainers(("--model", "cnn_32_64_pool3"), ours, epochs, extra=(mixed,) if bfloat16 else ()),
        epochs,
        training=Training(("model=cnn_32_64_pool3",), 1),
        left_out={} if bfloat16 else {mixed.title: reason},
    )


def _build_tracking_work(epochs: int) -> Work:
    def train(seeds: int) -> tuple[str, ...]:
        return ("model=mlp_64_64", f"seed=range({seeds})", f"epochs={epochs}")

    few, many = TRACKED_RUNS
    return Work(
        "tracking",
        "tracking on and off: 64-64, a process",
        tuple(
            Contender(f"{name}_{seeds}", f"{title}, {seeds} runs", (*module, *train(seeds)), runs=seeds)
            for name, title, module in (
                ("off", "the project's functions, nothing tracked", ("benchmarks.untracked",)),
                ("on", TITLES[OURS], ("mnist_flow.train", "-m")),
            )
            for seeds in (few, many)
        ),
        epochs,
        reference=f"off_{many}",
        about=f"What a run costs is the difference between {many} runs and {few}, divided by {many - few}: the start "
        "of the sweep, the creation of the store and the imports are apart, being paid once, however many runs follow.",
    )


def _build_growth_work(runs: int) -> Work:
    sizes = runs // 10, runs, 10 * runs
    jobs = (*SETTING, f"epochs={_STORED_EPOCHS}", "plan=true")
    rates = ",".join(map(str, STORED_LEARNING_RATES))
    questions = {
        "plan": ("plan of three jobs", "mnist_flow.train", "-m", *jobs, "optimizer.learning_rate=0.001,0.01,0.1"),
        "resume": (
            *(f"plan of {runs:,} jobs", "mnist_flow.train", "-m", *jobs),
            *(f"optimizer.learning_rate={rates}", f"seed=range({runs // len(STORED_LEARNING_RATES)})"),
        ),
        "learning_rate": ("study=learning_rate", "mnist_flow.analyze", "study=learning_rate"),
        "curves": ("study=curves", "mnist_flow.analyze", "study=curves"),
    }
    return Work(
        "growth",
        f"the same questions in stores of {', '.join(f'{size:,}' for size in sizes)} runs of {_STORED_EPOCHS} epochs",
        tuple(
            Contender(
                f"{name}_{size}",
                f"{title}, {size:,} runs",
                (*arguments, f"tracking.experiment_name={_ANALYZED}", f"tracking.uri=sqlite:///store_{size}.db"),
                reference=f"{name}_{sizes[0]}",
            )
            for name, (title, *arguments) in questions.items()
            for size in sizes
        ),
        reference=f"plan_{sizes[0]}",
        prepare=lambda folder, data: _fill_stores(folder, sizes),
        about=f"One SQLite store is filled, and copied on its way. Ratios are to the same question in the store of "
        f"{sizes[0]:,} runs. Of the {runs:,} jobs as many are finished as the store has runs.",
    )


def _build_epoch_work(hidden: tuple[str, ...], epochs: int, cores: int) -> Work:
    name = "-".join(hidden)
    shared = ("--hidden", *hidden, "--epochs", str(epochs))
    return Work(
        f"epochs_{'_'.join(hidden)}",
        f"an epoch of {name} after the first",
        (
            Contender(KERAS, "plain model.fit, all threads", ("benchmarks.epochs", KERAS, *shared)),
            Contender(
                OURS, "this project, one process of one thread", ("benchmarks.epochs", OURS, *shared), one_thread=True
            ),
            Contender(
                "ours_all_threads",
                "this project, one process, a thread a core (training.threads=null)",
                ("benchmarks.epochs", OURS, *shared, "--threads", str(cores)),
            ),
            Contender(
                "ours_side_by_side",
                f"this project, {cores} processes of one thread side by side, an epoch and run",
                ("benchmarks.epochs", OURS, *shared, "--processes", str(cores)),
            ),
        ),
        epochs,
        measure="epoch_seconds",
        training=Training((f"model=mlp_{'_'.join(hidden)}",), 1),
        about="Seconds are those of an epoch, its validation included, the mean of all after the first. A sweep has a "
        "worker a core, and so many runs advance side by side: there an epoch's time is divided by their number.",
    )


def _train_once(folder: Path, data: str) -> dict[str, str]:
    run_command(
        [sys.executable, "-m", "mnist_flow.train", "model=mlp_100", "epochs=1"], folder, variables={"MNIST_NPZ": data}
    )
    (model,) = (folder / "mlruns").rglob("*.keras")
    return {"model": str(model)}


def _fill_stores(folder: Path, sizes: tuple[int, ...]) -> dict[str, str]:
    copies = ("--copies", *map(str, sizes))
    fill = [sys.executable, "-m", "benchmarks.store", "--experiment", _ANALYZED, "--runs", str(sizes[-1]), *copies]
    finished = run_command([*fill, "--epochs", str(_STORED_EPOCHS)], folder)
    return {"seconds_to_fill": f"{finished.seconds:.0f}"}


def _fill_store(folder: Path, runs: int) -> dict[str, str]:
    run_command([sys.executable, "-m", "benchmarks.store", "--experiment", _ANALYZED, "--runs", str(runs)], folder)
    checked = run_command(
        [
            *(sys.executable, "-m", "benchmarks.imports", "study=curves"),
            *(f"tracking.experiment_name={_ANALYZED}", "output_dir=checked"),
        ],
        folder,
    )
    return {"tensorflow_imported": str(checked.report["tensorflow"])}
