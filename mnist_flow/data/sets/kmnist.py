"""Kuzushiji-MNIST: Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto and Ha (2018)."""

from __future__ import annotations

from functools import partial

from mnist_flow.config.train import DataSection
from mnist_flow.data.releases import Release, RemoteFile, load_release

# URLs, MD5 and names of the classes as in torchvision.datasets.KMNIST.
_BASE = "http://codh.rois.ac.jp/kmnist/dataset/kmnist"
_MD5 = {
    "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
    "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
    "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
    "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
}
RELEASE = Release(
    title="Kuzushiji-MNIST",
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    sizes=(60_000, 10_000),
    idx_names=tuple(_MD5),
    downloads=tuple(RemoteFile(f"{_BASE}/{name}", md5) for name, md5 in _MD5.items()),
    cache_folder="kmnist",
)


class Config(DataSection):
    """70,000 cursive Japanese characters of 28×28 pixels, 60,000 of them for training."""


load = partial(load_release, RELEASE)
