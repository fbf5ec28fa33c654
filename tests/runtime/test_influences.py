"""What is outside config, data and code is refused, left out, or recorded."""

import json
import logging
import os
import re
import sys

import pytest

from mnist_flow.errors import ConfigError
from mnist_flow.runtime import influences
from support import PROJECT_DIR


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """An environment of a few variables, in a process that has not imported TensorFlow; a test sets more."""
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path), "PATH": "/bin"})
    monkeypatch.setattr(sys, "modules", {name: one for name, one in sys.modules.items() if "keras" not in name})
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    return os.environ


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("KERAS_MAX_EPOCHS", "1", "epochs=1 says it"),
        ("KERAS_MAX_STEPS_PER_EPOCH", "1", "data=digits epochs=1 is a short run"),
        ("KERAS_BACKEND", "jax", "networks are trained with TensorFlow alone"),
        ("TF_ENABLE_AUTO_MIXED_PRECISION", "1", "training.precision=mixed_float16 says it"),
        ("TF_SET_ONEDNN_FPMATH_MODE", "BF16", "training.precision=mixed_bfloat16 says it"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "ANY", "training.precision=mixed_bfloat16 says it"),
        ("DNNL_DEFAULT_FPMATH_MODE", "BF16", "training.precision=mixed_bfloat16 says it"),
        ("TF_XLA_FLAGS", "--tf_xla_auto_jit=2", "what XLA compiles is no part of the config"),
        ("XLA_FLAGS", "--xla_cpu_enable_fast_math=true", "what XLA does is no part of the config"),
    ],
)
def test_a_variable_by_which_somebody_means_something_is_refused(environment, name, value, remedy):
    environment[name] = value
    before = dict(environment)
    with pytest.raises(ConfigError) as refused:
        influences.settle_variables()
    assert str(refused.value) == f"{name}={value}: {remedy}; unset {name}"
    assert environment == before


def test_every_refused_variable_has_a_row_above():
    (mark,) = test_a_variable_by_which_somebody_means_something_is_refused.pytestmark
    assert {name for name, _, _ in mark.args[1]} == influences.REFUSED.keys()


@pytest.mark.parametrize(
    "variables",
    [
        dict.fromkeys(influences.REFUSED, ""),
        {"KERAS_BACKEND": "tensorflow", "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT"},
        {"XLA_FLAGS": "--xla_gpu_cuda_data_dir=/usr/lib/cuda --xla_dump_to=/tmp/xla"},
    ],
    ids=["empty", "no other than ours", "folders"],
)
def test_what_says_nothing_new_is_not_refused(environment, variables, caplog):
    environment.update(variables)
    influences.settle_variables()
    assert environment["KERAS_BACKEND"] == "tensorflow"
    assert environment.get("XLA_FLAGS", "") == variables.get("XLA_FLAGS", "")
    assert not caplog.records


def test_what_changes_numbers_is_left_out_and_named_without_its_value(environment, caplog):
    kept = {
        "KERAS_HOME": "/k",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_VAR_token": "t",
        "OMP_NUM_THREADS": "2",
        "CUDA_HOME": "",
    }
    changing = {
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_DETERMINISTIC_OPS": "0",
        "NVIDIA_TF32_OVERRIDE": "0",
        "TF_NEW": "secret",
    }
    environment.update(kept | changing | {"KERAS_NNX_ENABLED": "true", "TF_XLA_BRIDGE": ""})
    with caplog.at_level(logging.WARNING):
        influences.settle_variables()
    assert environment.items() >= (kept | influences.PINNED).items()
    assert not environment.keys() & (changing.keys() | {"TF_XLA_BRIDGE"})
    (line,) = caplog.messages
    assert line.endswith("config alone: NVIDIA_TF32_OVERRIDE TF_DETERMINISTIC_OPS TF_ENABLE_ONEDNN_OPTS TF_NEW")


def test_an_empty_folder_of_keras_is_not_the_working_directory(environment):
    environment["KERAS_HOME"] = ""
    influences.settle_variables()
    assert "KERAS_HOME" not in environment


def test_where_tensorflow_has_read_the_variables_they_are_named_and_recorded(environment, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    environment.update(TF_ENABLE_ONEDNN_OPTS="0", ONEDNN_MAX_CPU_ISA="AVX2", OPENBLAS_NUM_THREADS="3", TF_LOG="t")
    before = dict(environment)
    influences.settle_variables()
    assert environment == before
    (line,) = caplog.messages
    assert "keeps them: TF_ENABLE_ONEDNN_OPTS;" in line
    recorded = {"ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_NUM_THREADS": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    assert influences.list_recorded() == recorded


@pytest.mark.parametrize(
    "settings", [{"floatx": "float8"}, {"epsilon": 1}, {"image_data_format": "channels_middle"}, []], ids=str
)
def test_a_settings_file_that_keras_can_not_be_imported_with_is_refused(environment, tmp_path, settings):
    environment["KERAS_HOME"] = str(tmp_path)
    file = tmp_path / "keras.json"
    file.write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=re.escape(f"{file}: Keras can't be imported with these settings; remove")):
        influences.settle_variables()
    file.write_text("no JSON")  # of which Keras takes no notice
    influences.settle_variables()


def test_the_page_names_every_variable_and_what_is_done_about_it():
    """A row of each table is a beginning of names, as in the code."""
    page = (PROJECT_DIR / "docs" / "ENVIRONMENT.md").read_text(encoding="utf-8")
    for heading, names in (
        ("Refused", influences.REFUSED),
        ("Pinned", influences.PINNED),
        ("Left out", influences.LEFT_OUT),
        ("Harmless", influences.HARMLESS),
        ("Recorded", influences.RECORDED),
    ):
        _, _, rest = page.partition(f"## {heading}")
        section = rest.partition("\n## ")[0]
        assert {name for name in names if not re.search(rf"`{name}…?`", section)} == set(), heading
