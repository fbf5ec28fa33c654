"""Fashion-MNIST: Xiao, Rasul and Vollgraf (2017)."""

from __future__ import annotations

from functools import partial

from mnist_flow.config.train import DataSection
from mnist_flow.data.releases import Release, RemoteFile, load_release

# URLs and cache folder of keras.datasets.fashion_mnist, which checks no hash; MD5 of the same files in
# torchvision.datasets.FashionMNIST.
_BASE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
RELEASE = Release(
    title="Fashion-MNIST",
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    sizes=(60_000, 10_000),
    idx_names=tuple(_MD5),
    downloads=tuple(RemoteFile(f"{_BASE}/{name}", md5) for name, md5 in _MD5.items()),
    cache_folder="fashion-mnist",
)


class Config(DataSection):
    """70,000 pictures of clothes of 28×28 pixels, 60,000 of them for training."""


load = partial(load_release, RELEASE)
