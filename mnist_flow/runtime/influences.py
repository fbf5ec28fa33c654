"""Everything outside config, data and code that could change a number, and what is done about it: docs/ENVIRONMENT.md.

Environment variables that TensorFlow, XLA and Keras read are refused where somebody means something by them, and left
out where they only get in the way. What changes no more than the last bits is recorded with each run.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from mnist_flow.errors import ConfigError

log = logging.getLogger(__name__)

# Variables that say something else than the config → what says it instead, and values that say nothing new.
REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "KERAS_BACKEND": ("networks are trained with TensorFlow alone", ("tensorflow",)),
    "KERAS_MAX_EPOCHS": ("epochs={} says it", ()),
    "KERAS_MAX_STEPS_PER_EPOCH": ("data=digits epochs=1 is a short run", ()),
    "TF_ENABLE_AUTO_MIXED_PRECISION": ("training.precision=mixed_float16 says it", ("0",)),
    "TF_SET_ONEDNN_FPMATH_MODE": ("training.precision=mixed_bfloat16 says it", ("FP32",)),
    "ONEDNN_DEFAULT_FPMATH_MODE": ("training.precision=mixed_bfloat16 says it", ("STRICT",)),
    "DNNL_DEFAULT_FPMATH_MODE": ("training.precision=mixed_bfloat16 says it", ("STRICT",)),
    "TF_XLA_FLAGS": ("what XLA compiles is no part of the config", ()),
    "XLA_FLAGS": ("what XLA does is no part of the config", ()),
}
# Flags in XLA_FLAGS that say where files are.
_HARMLESS_XLA_FLAGS = ("--xla_gpu_cuda_data_dir=", "--xla_dump_")

# Keras's file of settings can't say otherwise, because Keras reads these after it.
PINNED = {"KERAS_BACKEND": "tensorflow", "KERAS_NNX_ENABLED": "false"}

# Beginnings of variables that are left out, as if they were not set: what reads them computes, and what they are set to
# is in no config.
LEFT_OUT = (
    *("AUTOGRAPH_", "CUBLAS_", "CUBLASLT_", "CUDNN_", "KERAS_", "MLIR_", "NVIDIA_TF32_OVERRIDE", "PJRT_"),
    *("TENSORFLOW_", "TF_", "XLA_"),
)
# Beginnings of those among them that change no number: folders, logs, memory; the last row is Terraform's.
HARMLESS = (
    *("AUTOGRAPH_VERBOSITY", "CUBLAS_LOG", "CUBLASLT_LOG", "CUDNN_LOG", "KERAS_HOME", "TF_CPP_", "TF_JIT_CACHE_DIR"),
    *("TF_DEVICE_MIN_SYS_MEMORY_IN_MB", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_FORCE_UNIFIED_MEMORY", "TF_GPU_ALLOCATOR"),
    *("TF_GPU_HOST_MEM_LIMIT_IN_MB", "TF_PER_DEVICE_MEMORY_LIMIT_MB", "XLA_PJRT_GPU_HOST_MEMORY_"),
    *("TF_CLI_", "TF_DATA_DIR", "TF_IN_AUTOMATION", "TF_INPUT", "TF_LOG", "TF_PLUGIN_", "TF_VAR_", "TF_WORKSPACE"),
)

# Beginnings of variables that are recorded: linear algebra's threads and instruction sets, and what C libraries do.
RECORDED = (
    *("BLIS_", "CUDA_VISIBLE_DEVICES", "DNNL_", "GLIBC_TUNABLES", "GOMP_", "GOTO_", "KMP_", "LD_PRELOAD", "MKL_"),
    *("NPY_", "OMP_", "ONEDNN_", "OPENBLAS_", "SCIPY_ARRAY_API", "SKLEARN_", "VECLIB_"),
)


def settle_variables() -> None:
    """Let the numbers of this process, and of those that it starts, depend on no environment variable.

    A process that has imported TensorFlow already has read the variables. There they stay as they are, are named in a
    line of the log, and are recorded with its runs.

    Raises:
        ConfigError: a variable says something else than the config, or Keras can't be imported with its settings file.
    """
    for name, (instead, allowed) in REFUSED.items():
        value = os.environ.get(name, "")
        if name == "XLA_FLAGS":
            value = " ".join(flag for flag in value.split() if not flag.startswith(_HARMLESS_XLA_FLAGS))
        if value and value not in allowed:
            raise ConfigError(f"{name}={value}: {instead.format(value)}; unset {name}")
    _check_keras_settings()
    set_to_something = _list_left_out()
    if {"keras", "tensorflow"} & sys.modules.keys():
        if set_to_something:
            log.warning(
                "TensorFlow was imported with variables that may change results, and keeps them: %s; they are recorded",
                " ".join(set_to_something),
            )
        return
    for name in [name for name in os.environ if _is_left_out(name) or (name == "KERAS_HOME" and not os.environ[name])]:
        del os.environ[name]
    os.environ.update(PINNED)
    if set_to_something:
        # Not their values: whose they are is not known.
        log.warning("left out, because results follow from the config alone: %s", " ".join(set_to_something))


def list_recorded() -> dict[str, str]:
    """Variables of this process that may change the last bits of its numbers, by name."""
    kept = {name for name in os.environ if name.startswith(RECORDED) or name.endswith("_NUM_THREADS")}
    return {name: os.environ[name] for name in sorted(kept.union(_list_left_out()))}


def _list_left_out() -> list[str]:
    """Names of the variables to leave out that are set to something, sorted."""
    return sorted(name for name, value in os.environ.items() if value and _is_left_out(name))


def _is_left_out(name: str) -> bool:
    if name == "XLA_FLAGS":
        return False  # What is left of it after the check is harmless.
    return name.startswith(LEFT_OUT) and not name.startswith(HARMLESS) and name not in PINNED


def _check_keras_settings() -> None:
    """Raise ConfigError where importing Keras would fail; settings that it takes are pinned after the import."""
    file = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras.json"
    try:
        settings = json.loads(file.read_bytes()) if file.exists() else {}
        importable = (
            settings.get("floatx", "float32") in ("float16", "float32", "float64")
            and isinstance(settings.get("epsilon", 1e-7), float)
            and settings.get("image_data_format", "channels_last") in ("channels_first", "channels_last")
        )
    except ValueError:
        return  # Keras takes no setting from a file that is no JSON.
    except (OSError, AttributeError):
        importable = False
    if not importable:
        raise ConfigError(f"{file}: Keras can't be imported with these settings; remove the file")
