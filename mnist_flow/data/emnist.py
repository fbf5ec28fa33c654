"""EMNIST: Cohen, Afshar, Tapson and van Schaik (2017), whose data sets come in one archive of 560 MB."""

from __future__ import annotations

from mnist_flow.data.releases import Release, RemoteFile

# URL and MD5 as in torchvision.datasets.EMNIST.
_ARCHIVE = RemoteFile("https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e")


def describe_emnist(split: str, class_names: str, sizes: tuple[int, int], first_label: int = 0) -> Release:
    """Describe one of the data sets of the archive.

    Args:
        split: balanced, letters, …
        class_names: a character for each class.
        sizes: images of the training and the test part.
        first_label: the label of the first class in the files.
    """
    train, test = f"emnist-{split}-train", f"emnist-{split}-test"
    return Release(
        title=f"EMNIST {split}",
        class_names=tuple(class_names),
        sizes=sizes,
        idx_names=(
            *(f"{train}-images-idx3-ubyte.gz", f"{train}-labels-idx1-ubyte.gz"),
            *(f"{test}-images-idx3-ubyte.gz", f"{test}-labels-idx1-ubyte.gz"),
        ),
        downloads=(_ARCHIVE,),
        cache_folder="emnist",
        first_label=first_label,
        transposed=True,
    )
