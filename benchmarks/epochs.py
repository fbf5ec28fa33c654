"""Time of an epoch after the first: python -m benchmarks.epochs ours --hidden 64 64 --processes 2.

Prints, as JSON, the seconds of an epoch and run: with several processes that train side by side an epoch's time
divided by their number, since so many runs advance in it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier

from benchmarks.peers.arguments import load_images

# Where the processes wait for each other, so that their epochs overlap.
_barrier: Barrier


def time_keras(arguments: argparse.Namespace, barrier: Barrier) -> list[float]:
    """The ends of the epochs of a plain model.fit, seconds."""
    import keras

    from benchmarks.peers.keras_loop import build_model

    x_train, y_train, x_val, y_val, *_ = load_images(arguments.data)
    keras.utils.set_random_seed(0)
    model = build_model("mlp", arguments.hidden, 0.0)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
    barrier.wait()
    model.fit(
        x_train,
        y_train,
        batch_size=128,
        epochs=arguments.epochs,
        validation_data=(x_val, y_val),
        verbose=0,
        callbacks=[clock],
    )
    return ends


def time_ours(arguments: argparse.Namespace, barrier: Barrier) -> list[float]:
    """The ends of the epochs of `train_model`, seconds."""
    from mnist_flow.data.loading import load_info, load_splits
    from mnist_flow.models.mlp import build_mlp
    from mnist_flow.tasks import find_task
    from mnist_flow.training.devices import configure_tensorflow, reset_keras
    from mnist_flow.training.loop import train_model
    from mnist_flow.training.optimizers import Optimization, build_optimizer
    from mnist_flow.training.settings import TrainingListener, TrainingSettings

    configure_tensorflow(arguments.threads)
    splits = load_splits("mnist", arguments.data, "holdout", 10_000, 0)
    reset_keras(seed=0)
    ends: list[float] = []

    class Clock(TrainingListener):
        def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
            ends.append(time.perf_counter())

    model = build_mlp((28, 28, 1), 10, arguments.hidden)
    barrier.wait()
    train_model(
        model,
        find_task("classification"),
        splits,
        load_info("mnist", arguments.data),
        Optimization(build_optimizer("sgd", 0.1)),
        TrainingSettings(arguments.epochs, batch_size=128, seed=0),
        listener=Clock(),
    )
    return ends


def _share(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _work(arguments: argparse.Namespace) -> list[float]:
    return {"keras": time_keras, "ours": time_ours}[arguments.contender](arguments, _barrier)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=["keras", "ours"])
    parser.add_argument("--data", default=os.environ.get("MNIST_NPZ"), help="an .npz file; default: MNIST_NPZ")
    parser.add_argument("--hidden", type=int, nargs="+", required=True)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1, help="of each process of ours; Keras's loop uses all")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("MNIST is not there; MNIST_NPZ=FILE.npz names it")
    if arguments.epochs < 2:
        parser.error("--epochs must be at least 2: the first is not counted")
    # A forked TensorFlow hangs.
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(arguments.processes)
    with ProcessPoolExecutor(arguments.processes, context, _share, (barrier,)) as pool:
        all_ends = list(pool.map(_work, [arguments] * arguments.processes))
    epochs = [(ends[-1] - ends[0]) / (len(ends) - 1) for ends in all_ends]
    print(json.dumps({"epoch_seconds": sum(epochs) / len(epochs) / arguments.processes}))


if __name__ == "__main__":
    main()
