"""Published data sets, read from small files in the formats that they were published in."""

import gzip
import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnist_flow.data.dataset import RawData
from mnist_flow.data.releases import Release, RemoteFile, load_release
from mnist_flow.data.sets import cifar10, emnist_balanced, emnist_letters, fashion_mnist, kmnist
from mnist_flow.errors import DataError

PUBLISHED = {
    module.__name__.rpartition(".")[2]: module.RELEASE
    for module in (fashion_mnist, kmnist, emnist_letters, emnist_balanced)
}


def make_arrays(release: Release) -> dict[str, np.ndarray]:
    """What the files of a release hold: one image of each class for training, and half as many for testing."""
    rng, n = np.random.default_rng(0), len(release.class_names)
    labels = np.arange(n, dtype=np.uint8) + np.uint8(release.first_label)
    images = rng.integers(0, 256, (n + n // 2, 28, 28), dtype=np.uint8)
    return {"x_train": images[:n], "y_train": labels, "x_test": images[n:], "y_test": labels[: n // 2]}


def pack(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.tobytes(), mtime=0)


def write_files(folder: Path, release: Release, arrays: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, array in zip(release.idx_names, arrays.values(), strict=True):
        (folder / name).write_bytes(pack(array))
    return folder


def write_archive(file: Path, release: Release, arrays: dict[str, np.ndarray]) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in zip(release.idx_names, arrays.values(), strict=True):
            archive.writestr(f"gzip/{name}", pack(array))
    return file


def shrink(release: Release, arrays: dict[str, np.ndarray]) -> Release:
    return replace(release, sizes=(len(arrays["x_train"]), len(arrays["x_test"])))


def publish(folder: Path, release: Release, arrays: dict[str, np.ndarray]) -> Release:
    """The release with its downloads in a folder instead of the web."""
    if len(release.downloads) == 1:
        folder.mkdir()
        files = [write_archive(folder / release.downloads[0].name, release, arrays)]
    else:
        write_files(folder, release, arrays)
        files = [folder / name for name in release.idx_names]
    downloads = [RemoteFile(file.as_uri(), hashlib.md5(file.read_bytes()).hexdigest()) for file in files]  # noqa: S324
    return replace(shrink(release, arrays), downloads=tuple(downloads))


def assert_upright(raw: RawData, release: Release, arrays: dict[str, np.ndarray]) -> None:
    for part in ("train", "test"):
        images = arrays[f"x_{part}"]
        np.testing.assert_array_equal(
            getattr(raw, f"x_{part}"), images.swapaxes(1, 2) if release.transposed else images
        )
        assert getattr(raw, f"y_{part}").tolist() == list(range(len(images)))


def refusal(release: Release, path: Path | None) -> str:
    with pytest.raises(DataError) as raised:
        load_release(release, None if path is None else str(path))
    message = str(raised.value)
    assert "\n" not in message
    assert message.endswith(release.remedies)
    return message


@pytest.fixture
def keras_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of Keras."""
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()
    return tmp_path / "keras" / "datasets"


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_a_release_is(name):
    release = PUBLISHED[name]
    assert release.sizes[0] % len(release.class_names) == release.sizes[1] % len(release.class_names) == 0
    assert len(set(release.class_names)) == len(release.class_names)
    assert len(release.idx_names) == 4
    assert len(release.downloads) in (1, 4)
    assert all(len(file.file_hash) == 32 for file in release.downloads)


def test_the_classes_of_emnist():
    assert "".join(emnist_letters.RELEASE.class_names) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert "".join(emnist_balanced.RELEASE.class_names) == "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_files_are_downloaded_to_keras_cache_and_then_read_from_there(tmp_path, keras_cache, name):
    arrays = make_arrays(PUBLISHED[name])
    release = publish(tmp_path / "web", PUBLISHED[name], arrays)
    assert_upright(load_release(release), release, arrays)
    for file in release.downloads:
        assert (keras_cache / release.cache_folder / file.name).is_file()
        (tmp_path / "web" / file.name).unlink()
    assert_upright(load_release(release), release, arrays)


@pytest.mark.parametrize("name", ["kmnist", "emnist_letters"])
def test_a_download_with_another_hash_is_refused(tmp_path, keras_cache, name):
    release = publish(tmp_path / "web", PUBLISHED[name], make_arrays(PUBLISHED[name]))
    wrong = replace(release.downloads[0], file_hash="0" * 32)
    message = refusal(replace(release, downloads=(wrong, *release.downloads[1:])), None)
    assert f"the download of {wrong.url} failed (Incomplete or corrupted file detected." in message


def test_a_file_that_is_not_there_to_download_is_told_with_the_remedies(tmp_path, keras_cache):
    nowhere = (tmp_path / "nowhere.gz").as_uri()
    release = replace(kmnist.RELEASE, downloads=(RemoteFile(nowhere, "0" * 32), *kmnist.RELEASE.downloads[1:]))
    message = refusal(release, None)
    assert message.startswith(f"Kuzushiji-MNIST is not in Keras's cache and the download of {nowhere} failed (")


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_files_are_read_from_a_folder(tmp_path, name):
    arrays = make_arrays(PUBLISHED[name])
    release = shrink(PUBLISHED[name], arrays)
    folder = write_files(tmp_path / "files", release, arrays)
    plain = folder / release.idx_names[0].removesuffix(".gz")
    plain.write_bytes(gzip.decompress((folder / release.idx_names[0]).read_bytes()))
    (folder / release.idx_names[0]).unlink()
    assert_upright(load_release(release, str(folder)), release, arrays)


def test_an_archive_and_an_npz_are_read(tmp_path):
    arrays = make_arrays(emnist_letters.RELEASE)
    release = shrink(emnist_letters.RELEASE, arrays)
    raw = load_release(release, str(write_archive(tmp_path / "gzip.zip", release, arrays)))
    assert_upright(raw, release, arrays)
    upright = {"x_train": raw.x_train, "y_train": raw.y_train, "x_test": raw.x_test, "y_test": raw.y_test}
    np.savez(tmp_path / "a.npz", **upright)
    again = load_release(release, str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(again.x_train, raw.x_train)
    assert again.y_test.tolist() == raw.y_test.tolist()


def test_truncated_files_are_refused(tmp_path):
    arrays = make_arrays(emnist_letters.RELEASE)
    release = shrink(emnist_letters.RELEASE, arrays)
    archive = write_archive(tmp_path / "gzip.zip", release, arrays)
    archive.write_bytes(archive.read_bytes()[:-300])
    assert refusal(release, archive).startswith(f"{archive}: damaged or cut short (")
    file = write_files(tmp_path / "files", release, arrays) / release.idx_names[0]
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"images-idx3-ubyte.gz: damaged or cut short \("):
        load_release(release, str(file.parent))


def test_a_missing_file_is_named(tmp_path):
    arrays = make_arrays(kmnist.RELEASE)
    release = shrink(kmnist.RELEASE, arrays)
    folder = write_files(tmp_path / "files", release, arrays)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert refusal(release, folder).startswith(f"{folder}: has no t10k-labels-idx1-ubyte.gz. Remedies: data.path=X (")
    other = write_archive(tmp_path / "a.zip", replace(release, idx_names=("a", "b", "c", "d")), arrays)
    assert refusal(release, other).startswith(f"{other}: holds no train-images-idx3-ubyte.gz train-labels")


@pytest.mark.parametrize("name", ["fashion_mnist", "emnist_balanced"])
def test_exchanged_parts_are_refused(tmp_path, name):
    arrays = make_arrays(PUBLISHED[name])
    release, n = shrink(PUBLISHED[name], arrays), len(PUBLISHED[name].class_names)
    parts = dict(zip(arrays, [arrays[key] for key in ("x_test", "y_test", "x_train", "y_train")], strict=True))
    folder = write_files(tmp_path / "parts", release, parts)
    told = (
        f"{folder}: has {n // 2} training and {n} test images, but {release.title} has {n} training and {n // 2} test"
    )
    assert refusal(release, folder).startswith(told)
    kinds = dict(zip(arrays, [arrays[key] for key in ("y_train", "x_train", "y_test", "x_test")], strict=True))
    folder = write_files(tmp_path / "kinds", release, kinds)
    assert refusal(release, folder).startswith(f"{folder}: {release.idx_names[0]} holds ({n},), which are no images.")


# CIFAR-10


def write_cifar(folder: Path, batch: int = 2) -> np.ndarray:
    """Files of so many images; the red pixels of an image count up along its rows, green is 7, and blue its label."""
    folder.mkdir()
    rows = np.zeros((6 * batch, 3073), np.uint8)
    rows[:, 0] = np.arange(6 * batch) % 10
    rows[:, 1:1025] = np.arange(1024) % 256
    rows[:, 1025:2049] = 7
    rows[:, 2049:] = rows[:, :1]
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    for name, part in zip(names, rows.reshape(6, batch, 3073), strict=True):
        part.tofile(folder / name)
    return rows


def test_cifar10_is_read_from_its_binary_files(tmp_path):
    rows = write_cifar(tmp_path / "cifar")
    raw = cifar10.load(str(tmp_path / "cifar"), batch=2)
    assert (raw.x_train.shape, raw.x_test.shape) == ((10, 32, 32, 3), (2, 32, 32, 3))
    assert [*raw.y_train, *raw.y_test] == rows[:, 0].tolist()
    assert raw.x_train[3, 2, 5].tolist() == [2 * 32 + 5, 7, 3]
    # Bright pixels, too.
    assert raw.x_train[3, 6, 8].tolist() == [6 * 32 + 8, 7, 3]


def test_cifar10_is_read_from_keras_arrays_in_a_file(tmp_path):
    write_cifar(tmp_path / "cifar")
    raw = cifar10.load(str(tmp_path / "cifar"), batch=2)
    labels = {"y_train": raw.y_train[:, np.newaxis], "y_test": raw.y_test[:, np.newaxis]}
    np.savez(tmp_path / "a.npz", x_train=raw.x_train, x_test=raw.x_test, **labels)
    assert cifar10.load(str(tmp_path / "a.npz"), batch=2).y_train.tolist() == raw.y_train.tolist()


def test_cifar10_files_that_are_cut_short_missing_or_exchanged_are_refused(tmp_path):
    folder = tmp_path / "cifar"
    write_cifar(folder)
    raw = cifar10.load(str(folder), batch=2)
    exchanged = {"x_train": raw.x_test, "y_train": raw.y_test, "x_test": raw.x_train, "y_test": raw.y_train}
    np.savez(tmp_path / "a.npz", **exchanged)
    with pytest.raises(DataError, match=r"has 2 training and 10 test images, but CIFAR-10 has 10 training and 2 test"):
        cifar10.load(str(tmp_path / "a.npz"), batch=2)
    file = folder / "data_batch_3.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(
        DataError, match=r"data_batch_3.bin: has 6,145 bytes instead of 6,146, perhaps cut short. Remed"
    ):
        cifar10.load(str(folder), batch=2)
    file.unlink()
    with pytest.raises(
        DataError, match=r"data_batch_3.bin: can't be read \(No such file or directory\). Remedies: data"
    ):
        cifar10.load(str(folder), batch=2)
