"""The device and the global state of TensorFlow and Keras in this process."""

from __future__ import annotations

import gc
from functools import lru_cache
from typing import Any

from mnist_flow.errors import RunError
from mnist_flow.runtime.lazy import keras, tf
from mnist_flow.runtime.native_output import native_stderr_hidden


def configure_tensorflow(threads: int) -> None:
    """Set threads, determinism and GPU memory for this process.

    Args:
        threads: TensorFlow's intra- and inter-op threads.

    Raises:
        RunError: this process already runs TensorFlow with another number of threads, fixed at its first operation.
    """
    with native_stderr_hidden():
        import tensorflow  # noqa: F401
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        in_force = tf.config.threading.get_intra_op_parallelism_threads()
        if in_force != threads:
            raise RunError(
                f"training.threads={threads}: this process already runs TensorFlow with {in_force or 'all'}, and keeps "
                "them; start another process"
            ) from error
    tf.config.experimental.enable_op_determinism()


def describe_devices() -> dict[str, Any]:
    """GPUs that TensorFlow sees, the threads it uses, and the precision of the layers."""
    return {
        "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "precision": keras.config.dtype_policy().name,
    }


def reset_keras(seed: int, precision: str = "float32") -> None:
    """Make the next model independent of those built before in this process.

    Args:
        seed: of its weights.
        precision: a Keras dtype policy: float32, mixed_bfloat16 or mixed_float16.
    """
    _freeze_imports()
    # Forgets the policy and the logging choice too, so it comes first.
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    # Keras's own bars would run into ours.
    keras.config.disable_interactive_logging()


@lru_cache(maxsize=1)
def _freeze_imports() -> None:
    """Freeze what was imported, once: collecting the garbage of a training, which Keras does, need not look at it."""
    gc.freeze()
