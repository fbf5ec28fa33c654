"""A network's predictions."""

from __future__ import annotations

import numpy as np

from mnist_flow.data.arrays import FloatArray
from mnist_flow.models.inspection import limit_batch_size
from mnist_flow.runtime.lazy import keras


def predict(model: keras.Model, inputs: FloatArray | tuple[FloatArray, ...], batch_size: int = 1000) -> FloatArray:
    """Predict for images (n, height, width, channels): class probabilities (n, n_classes), or images; float32.

    A model of several inputs takes a tuple of arrays with n rows each. A batch has `batch_size` images at most, fewer
    where the layers are large.

    Keras's `predict` gives the same bits, and sets up a pipeline for each call, which takes a small network four times
    as long.
    """
    batch_size = limit_batch_size(model, batch_size)
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    batches = [[part[start : start + batch_size] for part in parts] for start in range(0, len(parts[0]), batch_size)]
    # Keras takes the inputs of a model as a list, and the only one as it is.
    outputs = [model.predict_on_batch(batch if len(batch) > 1 else batch[0]) for batch in batches]
    return np.concatenate(outputs).astype(np.float32, copy=False)
