import gc
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from fitting import build_rate, fit, make_mlp, recorded
from mnist_flow.errors import ConfigError, RunError
from mnist_flow.training.devices import configure_tensorflow, describe_devices, reset_keras, warn_of_all_cores


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_layers_compute_in_a_precision_while_weights_and_outputs_are_float32(train, validation, precision):
    reset_keras(0, precision)
    assert describe_devices()["precision"] == precision
    model = make_mlp([8])
    assert model.get_layer("dense_1").compute_dtype == {"float32": "float32"}.get(precision, precision[6:])
    schedule = build_rate("cosine", 0.1, 4, 4, warmup_epochs=0.0, final_fraction=0.0)
    _, result = fit(train, validation, model, schedule=schedule, epochs=4)
    losses = recorded(result, "loss")
    assert losses[3] < losses[0]
    assert result.history[3]["learning_rate"] == pytest.approx(0.00096074, rel=1e-4)
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float32")}
    probabilities = model(validation.images)
    assert probabilities.dtype == "float32"
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, atol=1e-5)


def test_the_precision_of_one_model_is_not_the_next_ones():
    reset_keras(0, "mixed_bfloat16")
    reset_keras(0)
    assert make_mlp([8]).get_layer("dense_1").compute_dtype == "float32"


@pytest.mark.parametrize("in_sweep", [False, True])
def test_in_a_sweep_garbage_is_not_looked_for_among_what_earlier_trainings_left(train, validation, in_sweep):
    def count_searched():
        reset_keras(0, in_sweep=in_sweep)
        return len(gc.get_objects())

    first = count_searched()
    for _ in range(3):
        fit(train, validation, make_mlp([8]), epochs=1)
    assert (count_searched() - first > 1000) is not in_sweep


def test_the_seed_decides_the_first_weights():
    def first_weights(seed):
        reset_keras(seed)
        return make_mlp([8]).get_weights()[0]

    zero, one, again = (first_weights(seed) for seed in (0, 1, 0))
    assert np.array_equal(zero, again)
    assert not np.array_equal(zero, one)


def test_a_process_keeps_the_threads_of_its_first_job():
    tf.constant(1) + 1  # TensorFlow has begun
    with pytest.raises(RunError, match=r"training\.threads=2: this process already runs TensorFlow with 1") as refused:
        configure_tensorflow(2)
    assert str(refused.value).endswith("start another process, or say training.threads=1")
    assert describe_devices()["intra_op_threads"] == 1


def test_a_process_does_not_give_up_threads_that_it_has(monkeypatch):
    tf.constant(1) + 1  # TensorFlow has begun
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 4)
    with pytest.raises(RunError, match=r"training\.threads=2: this process already runs TensorFlow with 4"):
        configure_tensorflow(2)


def test_that_all_cores_are_kept_is_said_once_a_process(monkeypatch, caplog):
    def refuse(threads):
        raise RuntimeError("Intra op parallelism cannot be modified after initialization.")

    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", refuse)
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 0)
    warn_of_all_cores.cache_clear()
    for _ in range(2):
        configure_tensorflow(3)
    assert caplog.text.count("training.threads=3: TensorFlow has worked in this process before") == 1


def test_many_networks_of_a_process_bring_no_advice_on_tracing(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("tensorflow"), "propagate", True)
    configure_tensorflow(1)
    step = tf.function(lambda number: number, autograph=False)
    for number in range(8):
        step(number)
    tf.get_logger().warning("something else")
    assert [record.message for record in caplog.records] == ["something else"]


def test_settings_that_a_notebook_has_made_do_not_outlast_the_start_of_a_run():
    config = keras.config
    functions = (config.floatx, config.epsilon, config.image_data_format, config.max_epochs, config.max_steps_per_epoch)
    ours = [function() for function in functions]
    config.set_floatx("float16")
    config.set_epsilon(0.01)
    config.set_image_data_format("channels_first")
    config.set_max_epochs(1)
    config.set_max_steps_per_epoch(1)
    tf.config.run_functions_eagerly(True)
    tf.config.optimizer.set_jit(True)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    configure_tensorflow(1)
    assert [function() for function in functions] == ours == ["float32", 1e-7, "channels_last", None, None]
    assert not tf.config.functions_run_eagerly()
    assert not tf.config.optimizer.get_jit()
    assert tf.config.experimental.tensor_float_32_execution_enabled()


def test_another_backend_of_keras_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ConfigError, match=r"^KERAS_BACKEND=jax: this process runs Keras with it already"):
        configure_tensorflow(1)
