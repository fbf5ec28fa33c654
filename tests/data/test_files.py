"""Images of the user's own: what is taken, and what is refused with one line."""

import gzip
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.dataset import DataSet
from mnist_flow.data.loading import load_data_set, load_info, load_splits
from mnist_flow.errors import DataError
from mnist_flow.jobs.composition import list_replicates

OPTIONS = {"test_fraction": 0.25, "test_seed": 0}
NAMES = ("cat", "dog", "owl")


def load(path: Path, **options: float) -> DataSet:
    return load_data_set("files", str(path), None, {**OPTIONS, **options})


def refusal(path: Path) -> str:
    """The line that says why a file or folder is not taken."""
    with pytest.raises(DataError) as raised:
        load_info("files", str(path), None, OPTIONS)
    message = str(raised.value)
    assert "\n" not in message
    return message


def make_arrays(n_classes: int = 3, each: int = 4, shape: tuple[int, ...] = (5, 6)) -> dict[str, np.ndarray]:
    """Training and test part of so many images of each class, all images different."""
    rng = np.random.default_rng(0)
    n = n_classes * each
    return {
        **{f"x_{part}": rng.integers(0, 256, (n, *shape), dtype=np.uint8) for part in ("train", "test")},
        **{f"y_{part}": np.arange(n) % n_classes for part in ("train", "test")},
    }


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def write_idx(file: Path, array: np.ndarray, packed: bool = False) -> None:
    types = {np.dtype(np.uint8): 0x08, np.dtype(np.int32): 0x0C}
    header = bytes([0, 0, types[array.dtype], array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(array.dtype.newbyteorder(">")).tobytes()
    file.write_bytes(gzip.compress(content) if packed else content)


def write_idx_folder(folder: Path, arrays: dict[str, np.ndarray], packed: bool = False) -> Path:
    folder.mkdir()
    end = ".gz" if packed else ""
    for part, name in (("train", "train"), ("test", "t10k")):
        if f"x_{part}" in arrays:
            write_idx(folder / f"{name}-images-idx3-ubyte{end}", arrays[f"x_{part}"], packed)
            write_idx(folder / f"{name}-labels-idx1-ubyte{end}", arrays[f"y_{part}"].astype(np.uint8), packed)
    return folder


def write_pictures(folder: Path, n: int = 4, names: tuple[str, ...] = NAMES, mode: str = "L") -> Path:
    """So many pictures a class, 6 wide and 5 high; the pixels of picture i of class c are all 40 c + i."""
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(n):
            pixels = np.full((5, 6), 40 * label + number, np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{number}.png")
    return folder


def write_picture(file: Path, mode: str, size: tuple[int, int] = (6, 5), color: object = 0) -> None:
    Image.new(mode, size, color).save(file)


# What is taken


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3), (256, 2)])
def test_an_npz_of_any_size_in_grey_or_colour(tmp_path, shape):
    arrays = make_arrays(shape=shape)
    data = load(save(tmp_path / "a.npz", **arrays))
    assert data.input_shape == (*shape, 1)[:3]
    assert (data.source, data.class_names) == (str(tmp_path / "a.npz"), ("0", "1", "2"))
    np.testing.assert_array_equal(np.rint(data.train.images * 255).reshape(12, *shape), arrays["x_train"])
    assert data.test.labels.tolist() == arrays["y_test"].tolist()


def test_labels_may_be_names_or_have_names(tmp_path):
    arrays = make_arrays()
    named = load(save(tmp_path / "a.npz", **arrays, class_names=np.array(["owl", "cat", "dog"])))
    assert (named.class_names, named.train.labels[:3].tolist()) == (("owl", "cat", "dog"), [0, 1, 2])
    names = {f"y_{part}": np.array(["owl", "cat", "dog"])[arrays[f"y_{part}"]] for part in ("train", "test")}
    texts = load(save(tmp_path / "b.npz", **{**arrays, **names}))
    assert (texts.class_names, texts.train.labels[:3].tolist()) == (NAMES, [2, 0, 1])
    column = load(save(tmp_path / "c.npz", **{**arrays, "y_train": arrays["y_train"][:, np.newaxis]}))
    assert column.train.labels.shape == (12,)


def test_floats_from_0_to_1_become_bytes(tmp_path):
    arrays = make_arrays()
    exact = load(save(tmp_path / "a.npz", **arrays))
    floats = {key: arrays[key] / np.float32(255) for key in ("x_train", "x_test")}
    data = load(save(tmp_path / "b.npz", **{**arrays, **floats}))
    assert data.digest == exact.digest
    np.testing.assert_array_equal(data.train.images, exact.train.images)


def test_class_names_are_part_of_the_data_where_they_come_with_it(tmp_path):
    arrays = make_arrays()
    plain = load(save(tmp_path / "plain.npz", **arrays)).digest
    named = [
        load(save(tmp_path / f"{names}.npz", **arrays, class_names=list(names))).digest for names in ("abc", "abd")
    ]
    assert len({plain, *named}) == 3
    assert load(save(tmp_path / "numbers.npz", **arrays, class_names=list("012"))).digest == plain


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_idx_files(tmp_path, packed):
    arrays = make_arrays()
    data = load(write_idx_folder(tmp_path / "idx", arrays, packed))
    assert data.digest == load(save(tmp_path / "a.npz", **arrays)).digest
    assert data.input_shape == (5, 6, 1)


def test_a_plain_idx_file_is_taken_before_its_compressed_copy(tmp_path):
    folder = write_idx_folder(tmp_path / "idx", make_arrays())
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8bdamaged")
    assert len(load(folder).train) == 12


def test_a_folder_of_pictures_with_a_test_part(tmp_path):
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / "test", n=2)
    for hidden in (".DS_Store", "Thumbs.db"):
        (tmp_path / "train" / "cat" / hidden).write_bytes(b"")
    (tmp_path / ".git").mkdir()
    data = load(tmp_path)
    assert (data.input_shape, data.class_names) == ((5, 6, 1), NAMES)
    assert np.rint(data.train.images[:, 0, 0, 0] * 255).tolist() == [*range(4), *range(40, 44), *range(80, 84)]
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert (len(data.train), data.test.labels.tolist()) == (12, [0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("name", ["val", "validation"])
def test_a_folder_beside_train_and_test_that_is_not_read_is_told(tmp_path, caplog, name):
    for part in ("train", "test", name):
        write_pictures(tmp_path / part)
    (tmp_path / "notes.txt").touch()
    with caplog.at_level(logging.WARNING):
        assert len(load(tmp_path).train) == 12
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: only train/ and test/ are read, and {name}/ is left out; move its pictures into train/, of which "
        "data.holdout_size holds out those to validate on, or move it away"
    ]


def test_a_test_part_is_held_out_of_each_class_by_its_seed_and_this_is_said(tmp_path, caplog):
    write_pictures(tmp_path, n=8)
    with caplog.at_level(logging.WARNING):
        data = load(tmp_path)
    told = "has no test part: 6 of its 24 images are held out as one (data.test_fraction=0.25 data.test_seed=0)"
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path} {told}"]
    assert np.bincount(data.test.labels).tolist() == [2, 2, 2]
    pixels = [np.rint(part.images[:, 0, 0, 0] * 255).tolist() for part in (data.train, data.test)]
    assert sorted(pixels[0] + pixels[1]) == [40 * label + number for label in range(3) for number in range(8)]
    assert load(tmp_path, test_seed=1).digest != data.digest
    assert len(load(tmp_path, test_fraction=0.5).test) == 12


def test_grey_pictures_among_colour_ones_become_colour(tmp_path):
    write_pictures(tmp_path, n=8)
    write_picture(tmp_path / "cat" / "9.png", "RGB", color=(10, 20, 30))
    data = load(tmp_path)
    assert data.input_shape == (5, 6, 3)
    images = np.rint(np.concatenate([data.train.images, data.test.images])[:, 0, 0] * 255)
    assert sorted(map(tuple, images.tolist())).count((10, 20, 30)) == 1
    assert np.sum((images == images[:, :1]).all(axis=1)) == 24


@pytest.mark.parametrize(
    ("mode", "color", "read"),
    [
        ("1", 1, [255]),
        ("LA", (7, 255), [7]),
        ("RGBA", (1, 2, 3, 255), [1, 2, 3]),
        ("P", (1, 2, 3), [1, 2, 3]),
        ("P", (7, 7, 7), [7]),
    ],
)
def test_pictures_of_other_modes(tmp_path, mode, color, read):
    write_pictures(tmp_path, mode="L" if len(read) == 1 else "RGB")
    for name in NAMES:
        for number in range(4):
            write_picture(tmp_path / name / f"{number}.png", mode, color=color)
    data = load(tmp_path)
    assert np.rint(data.train.images[0, 0, 0] * 255).tolist() == read


def test_grey_pictures_with_a_palette_are_those_without_one(tmp_path):
    grey = load(write_pictures(tmp_path / "plain"))
    for file in write_pictures(tmp_path / "gifs").glob("*/*.png"):
        with Image.open(file) as picture:
            picture.save(file.with_suffix(".gif"))
        file.unlink()
    assert load(tmp_path / "gifs").digest == grey.digest
    write_picture(tmp_path / "gifs" / "cat" / "9.gif", "RGB", color=(255, 0, 0))
    assert load(tmp_path / "gifs").input_shape == (5, 6, 3)


def test_a_jpeg_is_turned_as_its_camera_says(tmp_path):
    write_pictures(tmp_path, mode="RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (5, 6)).save(tmp_path / "cat" / "turned.jpg", exif=exif)
    assert load(tmp_path).input_shape == (5, 6, 3)


def test_1000_classes_are_taken_and_1001_are_not(tmp_path):
    assert load(save(tmp_path / "a.npz", **make_arrays(1000, 1, (1, 1)))).n_classes == 1000
    path = save(tmp_path / "b.npz", **make_arrays(1001, 1, (1, 1)))
    assert refusal(path) == f"{path}: number of classes to train on: 1001, but there must be 2 to 1,000; leave some out"


# Identity


def test_a_changed_picture_changes_the_data_and_an_unchanged_folder_stays_in_memory(tmp_path):
    write_pictures(tmp_path)
    info = load_info("files", str(tmp_path), None, OPTIONS)
    assert load_info("files", str(tmp_path), None, OPTIONS) is info
    file = tmp_path / "dog" / "0.png"
    status = file.stat()
    write_picture(file, "L", color=7)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    assert load_info("files", str(tmp_path), None, OPTIONS).digest != info.digest


def test_a_job_is_identified_by_the_images_and_not_by_their_path(tmp_path, compose_config):
    identities = []
    for name in ("a", "b"):
        write_pictures(tmp_path / name, n=10)
        config = validate_config(compose_config("data=files", f"data.path={tmp_path / name}"), TrainConfig)
        identities.append(list_replicates([], config)[0].identity)
    assert identities[0] == identities[1]
    config = validate_config(
        compose_config("data=files", f"data.path={tmp_path / 'a'}", "data.test_seed=1"), TrainConfig
    )
    assert list_replicates([], config)[0].identity != identities[0]


def test_a_fraction_of_the_training_images_is_held_out_for_validation(tmp_path):
    path = str(save(tmp_path / "a.npz", **make_arrays(each=10)))
    splits = load_splits("files", path, "holdout", 0.3, 0, options=OPTIONS)
    assert np.bincount(splits.validation.labels).tolist() == [3, 3, 3]
    with pytest.raises(DataError, match=r"data.holdout_size=0.05 \(2 of 30 images\): must be from 3 to 27 for the"):
        load_splits("files", path, "holdout", 0.05, 0, options=OPTIONS)


# What is refused


def test_a_path_is_needed():
    with pytest.raises(DataError, match=r"data.path=null: must name the images, data.path=X: an .npz file with"):
        load_info("files", None, None, OPTIONS)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"y_test": np.arange(12) % 4},
            "classes of the test part that training never saw: 3; move some of their images",
        ),
        (
            {"y_train": np.zeros(12, int), "y_test": np.zeros(12, int)},
            "number of classes to train on: 1, but there must be 2 to",
        ),
        ({"x_train": np.full((12, 5, 6), np.nan)}, "x_train has NaN or infinite pixels in 12 images, first in x[0]"),
        ({"x_test": np.zeros((12, 5, 6), np.uint16)}, "x_test is uint16, but must be uint8 from 0 to 255, or floats"),
        ({"x_train": np.full((12, 5, 6), 1.5)}, "x_train holds floats from 1.5 to 1.5, but must hold 0 to 1, or uint8"),
        ({"x_train": np.zeros((12, 5, 6, 4), np.uint8)}, "x_train has the shape (12, 5, 6, 4), but must be (n, height"),
        (
            {"x_train": np.zeros((12, 257, 6), np.uint8)},
            "x_train has images of 6×257 pixels, but must have 1×1 to 256×",
        ),
        (
            {"x_train": np.zeros((12, 7, 6), np.uint8)},
            "x_train has images of the shape (7, 6, 1), but x_test of (5, 6, 1); give all images one size",
        ),
        ({"x_train": np.zeros((11, 5, 6), np.uint8)}, "x_train has 11 images, but y_train 12 labels; each image needs"),
        ({"y_train": 2 * (np.arange(12) % 3), "y_test": np.zeros(12, int)}, "no image of y_train has the label 1, but"),
        (
            {"y_train": np.arange(12) % 3 + 1, "y_test": np.ones(12, int)},
            "no image of y_train has the label 0, but some",
        ),
        (
            {"y_train": np.arange(12) / 2},
            "y_train is float64 of the shape (12,), but labels must be (n,) integers from 0",
        ),
        ({"y_test": np.array(["a"] * 12)}, "y_test is <U1 of the shape (12,), but labels must be (n,) integers from 0"),
        ({"class_names": np.array(["a", "b"])}, "class_names needs a name of its own for each of the 3 classes"),
        ({"class_names": np.array(["a", "b", "a"])}, "class_names needs a name of its own for each of the 3 classes"),
        ({"class_names": np.array(["a", "b", ""])}, "class_names needs a name of its own for each of the 3 classes"),
        ({"class_names": np.array([b"a", b"b", b"c"])}, "class_names is |S1, but must hold texts, such as np.array(["),
        ({"x_test": np.zeros((0, 5, 6), np.uint8)}, "x_test holds no images; add some, or leave the part out"),
        ({"y_train": np.arange(12) % 3 - 1, "y_test": np.zeros(12, int)}, "y_train has the label -1, but the first cl"),
    ],
)
def test_arrays_that_are_refused(tmp_path, changes, reason):
    path = save(tmp_path / "a.npz", **{**make_arrays(), **changes})
    assert refusal(path).startswith(f"{path}: {reason}")


def test_half_a_test_part_is_refused(tmp_path):
    arrays = make_arrays()
    del arrays["y_test"]
    path = save(tmp_path / "a.npz", **arrays)
    assert refusal(path).endswith("lacks y_test; add it")


def test_what_is_no_image_set_at_all_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    assert "notes.txt: is no .npz file, which np.savez writes. It must be an" in refusal(tmp_path / "notes.txt")
    assert "no such file. It must be an .npz file with x_train" in refusal(tmp_path / "nowhere")
    assert refusal(tmp_path / "empty").startswith(f"{tmp_path / 'empty'}: is an empty folder; it must be an .npz file")


@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_idx_file_is_refused(tmp_path, packed):
    folder = write_idx_folder(tmp_path / "idx", make_arrays(), packed)
    file = folder / f"train-images-idx3-ubyte{'.gz' if packed else ''}"
    file.write_bytes(file.read_bytes()[:-20])
    message = refusal(folder)
    assert message.startswith(f"{file}: ")
    assert message.endswith("copy or download it again")


def test_idx_files_with_images_and_labels_exchanged_are_refused(tmp_path):
    folder = write_idx_folder(tmp_path / "idx", make_arrays())
    names = [folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"]
    contents = [file.read_bytes() for file in names]
    for file, content in zip(names, contents[::-1], strict=True):
        file.write_bytes(content)
    assert refusal(folder).startswith(f"{folder}: x_train has the shape (12,), but must be (n, height, width)")


def test_two_idx_files_with_the_same_part_are_refused(tmp_path):
    folder = write_idx_folder(tmp_path / "idx", make_arrays())
    write_idx(folder / "emnist-letters-train-images-idx3-ubyte", make_arrays()["x_train"])
    told = "emnist-letters-train-images-idx3-ubyte and train-images-idx3-ubyte hold the same part"
    assert told in refusal(folder)


def test_idx_labels_alone_are_refused(tmp_path):
    folder = write_idx_folder(tmp_path / "idx", make_arrays())
    (folder / "train-images-idx3-ubyte").unlink()
    assert refusal(folder).endswith("lacks x_train; add it")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda folder: write_picture(folder / "dog" / "9.png", "L", (7, 5)),
            "dog/9.png: is 7×5 pixels, but {folder}/cat/",
        ),
        (
            lambda folder: write_picture(folder / "dog" / "9.png", "L", (300, 5)),
            "dog/9.png: is 300×5, but at most 256×256",
        ),
        (lambda folder: write_picture(folder / "dog" / "9.png", "I;16"), "dog/9.png: has more than 8 bits a pixel"),
        (
            lambda folder: write_picture(folder / "dog" / "9.png", "RGBA", color=(0, 0, 0, 9)),
            "dog/9.png: is transparent",
        ),
        (lambda folder: write_picture(folder / "dog" / "3.bmp", "L"), "dog/3.png: has the name of 3.bmp; remove one"),
        # A disk that tells no capitals apart would hold one of them.
        (
            lambda folder: [write_picture(folder / "dog" / name, "L") for name in ("a.bmp", "A.png")],
            "dog/a.bmp: has the name of A.png; remove one",
        ),
        (
            lambda folder: (folder / "dog" / "9.png").write_text("no"),
            "dog/9.png: can't be read as a picture (cannot id",
        ),
        (lambda folder: (folder / "emu").mkdir(), "emu: no pictures of this class; add some, or remove the folder"),
        (lambda folder: (folder / "dog" / "more").mkdir(), "dog/more: a folder within the folder of a class; move its"),
        (lambda folder: write_picture(folder / "9.png", "L"), "9.png: lies beside the folders of the classes; move it"),
        (lambda folder: (folder / "test").mkdir(), "has test/ but no train/; name the folder of the training classes"),
    ],
)
def test_pictures_that_are_refused(tmp_path, spoil, reason):
    folder = write_pictures(tmp_path / "pictures")
    spoil(folder)
    assert reason.format(folder=folder) in refusal(folder).removeprefix(f"{folder}").lstrip("/: ")


def test_a_truncated_picture_is_refused(tmp_path):
    write_pictures(tmp_path)
    file = tmp_path / "owl" / "0.png"
    file.write_bytes(file.read_bytes()[:50])
    assert refusal(tmp_path).startswith(f"{file}: can't be read as a picture (")


def test_a_class_of_the_test_part_that_has_no_training_pictures_is_refused(tmp_path):
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / "test", names=(*NAMES, "yak"))
    assert "classes of the test part that training never saw: yak; move" in refusal(tmp_path)


def test_of_many_classes_that_training_never_saw_five_are_named(tmp_path):
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / "test")
    write_pictures(tmp_path / "test", names=tuple("abcdef"))
    assert "that training never saw: a, b, c, d, e and 1 more; move" in refusal(tmp_path)


def test_a_class_too_small_to_hold_out_a_test_part_is_refused(tmp_path):
    write_pictures(tmp_path / "pictures", n=1)
    assert refusal(tmp_path / "pictures") == (
        f"{tmp_path / 'pictures'}: has no test part to measure on: data.test_fraction=0.25 (1 of 3 images): class cat "
        "has a single image, and both parts need one; add images, or leave the class out"
    )
    write_pictures(tmp_path / "more", n=2)
    assert refusal(tmp_path / "more").endswith(
        "data.test_fraction=0.25 (2 of 6 images): must be from 3 to 3 for these 6 images"
    )
