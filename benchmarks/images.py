"""The first images of MNIST as a file of their own, and the same split as the project splits them, for other loops."""

from __future__ import annotations

import argparse

import numpy as np

from mnist_flow.data.loading import load_splits

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="MNIST as an .npz file")
    parser.add_argument("--n", type=int, required=True, help="training images to keep")
    parser.add_argument("--held-out", type=int, required=True, help="how many of them are held out")
    parser.add_argument("--images", required=True, help="file to write: x_train, y_train, x_test, y_test")
    parser.add_argument("--split", required=True, help="file to write: x_train, y_train, x_val, y_val")
    parsed = parser.parse_args()
    with np.load(parsed.data) as data:
        kept = {name: data[name][: parsed.n] if "train" in name else data[name] for name in data}
    np.savez(parsed.images, **kept)
    splits = load_splits("mnist", parsed.images, "holdout", parsed.held_out, split_seed=0, scale=1.0)
    np.savez(
        parsed.split,
        x_train=splits.train.images,
        y_train=splits.train.labels,
        x_val=splits.validation.images,
        y_val=splits.validation.labels,
    )
