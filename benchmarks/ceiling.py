"""The machine's own rate: a float32 matrix product of 2048³ by TensorFlow, in a process of its own."""

from __future__ import annotations

import argparse
import json
import time

_SIZE = 2048
_REPEATS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    threads = parser.parse_args().threads

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    left, right = tf.random.normal([2, _SIZE, _SIZE], seed=0)
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(left, right)[0, :1]))
    product().numpy()
    rates = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        product().numpy()
        rates.append(2 * _SIZE**3 / (time.perf_counter() - start) / 1e9)
    # The best, since a ceiling is asked for.
    print(json.dumps({"gflops": max(rates)}))


if __name__ == "__main__":
    main()
