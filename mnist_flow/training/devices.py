"""The device and the global state of TensorFlow and Keras in this process."""

from __future__ import annotations

import gc
import logging
from functools import cache, lru_cache
from typing import Any

from mnist_flow.errors import ConfigError, RunError
from mnist_flow.runtime.lazy import keras, tf
from mnist_flow.runtime.native_output import native_stderr_hidden

log = logging.getLogger(__name__)


def configure_tensorflow(threads: int) -> None:
    """Set threads, determinism, GPU memory and all of Keras's settings for this process.

    Where TensorFlow has worked in this process without a number of threads, as in a notebook, it keeps all cores; a
    line of the log says so.

    Args:
        threads: TensorFlow's intra- and inter-op threads.

    Raises:
        ConfigError: Keras runs with another backend here.
        RunError: this process already runs TensorFlow with another number of threads, fixed at its first operation.
    """
    with native_stderr_hidden():
        import tensorflow  # noqa: F401
    # TensorFlow counts the tracings of all networks of a process, and advises against many; each run has its own.
    logging.getLogger("tensorflow").addFilter(_is_no_advice_on_tracing)
    _pin_settings()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        in_force = tf.config.threading.get_intra_op_parallelism_threads()
        if in_force == 0:
            warn_of_all_cores(threads)
        elif in_force != threads:
            raise RunError(
                f"training.threads={threads}: this process already runs TensorFlow with {in_force}, and keeps them; "
                f"start another process, or say training.threads={in_force}"
            ) from error
    tf.config.experimental.enable_op_determinism()


@cache
def warn_of_all_cores(threads: int) -> None:
    """Warn once a process, and not with each of its runs, that it does not keep to so many threads."""
    log.warning(
        "training.threads=%d: TensorFlow has worked in this process before, and keeps a thread for each core; "
        "results may differ in their last bits from those of a process of its own",
        threads,
    )


def _is_no_advice_on_tracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def _pin_settings() -> None:
    """Give Keras and TensorFlow the settings they have by themselves.

    Keras's may come from its file of settings, or a program that runs in this process may have set them.
    """
    if keras.config.backend() != "tensorflow":
        backend = keras.config.backend()
        raise ConfigError(f"KERAS_BACKEND={backend}: this process runs Keras with it already; start another process")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)
    tf.config.run_functions_eagerly(False)
    tf.config.optimizer.set_jit(False)
    tf.config.experimental.enable_tensor_float_32_execution(True)


def describe_devices() -> dict[str, Any]:
    """GPUs that TensorFlow sees, the threads it uses, and the precision of the layers."""
    return {
        "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "precision": keras.config.dtype_policy().name,
    }


def reset_keras(seed: int, precision: str = "float32", in_sweep: bool = False) -> None:
    """Make the next model independent of those built before in this process.

    Args:
        seed: of its weights.
        precision: a Keras dtype policy: float32, mixed_bfloat16 or mixed_float16.
        in_sweep: this process trains one network after another and does nothing else. TensorFlow keeps some 2,500
            objects of each, and Keras would look for garbage among all of them before the next, two seconds long
            after a thousand. What is alive now is not searched any more.
    """
    _freeze_imports()
    # Forgets the policy and the logging choice too, so it comes first.
    keras.backend.clear_session()
    if in_sweep:
        gc.freeze()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    # Keras's own bars would run into ours.
    keras.config.disable_interactive_logging()


@lru_cache(maxsize=1)
def _freeze_imports() -> None:
    """Freeze what was imported, once: collecting the garbage of a training, which Keras does, need not look at it."""
    gc.freeze()
