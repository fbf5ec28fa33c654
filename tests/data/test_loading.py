import builtins
import gc
import os
import pickle
import sys
import tracemalloc
import warnings
import zipfile
from importlib import import_module
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.dataset import DataSet, Images, Splits
from mnist_flow.data.loading import DATA_SETS, SPLITS, load_data_set, load_info, load_splits
from mnist_flow.errors import DataError
from mnist_flow.jobs.composition import list_replicates
from mnist_flow.jobs.identity import identify

REMEDIES = ("data.path=", "MNIST_NPZ", "download", "data=digits")


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """A well-formed data set of 20 training and 10 test images, as MNIST's .npz has them."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        "y_train": np.arange(20, dtype=np.uint8) % 10,
        "x_test": rng.integers(0, 256, (10, 28, 28), dtype=np.uint8),
        "y_test": np.arange(10, dtype=np.uint8),
    }


@pytest.fixture
def numbered(tmp_path, arrays) -> Path:
    """60 training images, 6 of each digit; the pixels of image i are all i/255."""
    images = np.broadcast_to(np.arange(60, dtype=np.uint8).reshape(60, 1, 1), (60, 28, 28))
    return save(tmp_path / "numbered.npz", **{**arrays, "x_train": images, "y_train": np.arange(60) % 10})


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def numbers(images: Images) -> list[int]:
    return np.rint(images.images[:, 0, 0, 0] * 255).astype(int).tolist()


def hold_out(path: Path, size: int = 20, seed: int = 0) -> Splits:
    return load_splits("mnist", str(path), "holdout", size, seed)


def assert_refused(path: Path, reason: str) -> None:
    """The file is refused with one line that names it, the reason and every remedy."""
    with pytest.raises(DataError) as raised:
        load_data_set("mnist", str(path))
    message = str(raised.value)
    for part in (str(path), reason, *REMEDIES):
        assert part in message
    assert "\n" not in message


def test_digits_are_1437_and_360_images_in_0_to_1():
    digits = load_data_set("digits")
    for part, n in ((digits.train, 1437), (digits.test, 360)):
        assert len(part) == n
        assert (part.images.shape, part.images.dtype) == ((n, 28, 28, 1), np.float32)
        assert (part.labels.shape, part.labels.dtype) == ((n,), np.int64)
        assert (part.images.min(), part.images.max()) == (0, 1)


def test_digits_are_stratified():
    digits = load_data_set("digits")
    assert np.bincount(digits.train.labels).tolist() == [142, 146, 142, 146, 145, 145, 145, 143, 139, 144]
    assert np.bincount(digits.test.labels).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]


def test_digits_never_change():
    digits = load_data_set("digits")
    assert (digits.name, digits.digest) == ("digits", "e6bf0977cc869d04")
    assert digits.train.labels[:10].tolist() == [3, 9, 1, 3, 1, 9, 4, 4, 2, 8]


def test_holdout_takes_the_same_share_of_each_digit(numbered):
    splits = hold_out(numbered)
    assert np.bincount(splits.validation.labels).tolist() == [2] * 10
    assert np.bincount(splits.train.labels).tolist() == [4] * 10


def test_holdout_and_training_images_are_disjoint_and_complete(numbered):
    splits = hold_out(numbered)
    assert sorted(numbers(splits.train) + numbers(splits.validation)) == list(range(60))
    for part in (splits.train, splits.validation):
        assert part.labels.tolist() == [number % 10 for number in numbers(part)]


def test_holdout_leaves_the_test_set(numbered):
    splits = hold_out(numbered)
    np.testing.assert_array_equal(splits.test.images, load_data_set("mnist", str(numbered)).test.images)
    assert splits.test.labels.tolist() == list(range(10))


def test_holdout_depends_on_its_seed_alone(numbered):
    first, again, other = (numbers(hold_out(numbered, seed=seed).validation) for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("seed", [0, 1])
def test_every_image_is_in_one_of_the_folds_which_are_stratified(numbered, seed):
    folds = [load_splits("mnist", str(numbered), "holdout", 0.2, seed, fold=(number, 3)) for number in range(3)]
    assert sorted(number for fold in folds for number in numbers(fold.validation)) == list(range(60))
    for fold in folds:
        assert np.bincount(fold.validation.labels).tolist() == [2] * 10
        assert sorted(numbers(fold.train) + numbers(fold.validation)) == list(range(60))
        assert fold.test.labels.tolist() == list(range(10))


def test_folds_depend_on_the_seed_of_the_split(numbered):
    first, again, other = (
        numbers(load_splits("mnist", str(numbered), "holdout", 0.2, seed, fold=(0, 3)).validation) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_more_folds_than_images_of_a_class_are_refused(numbered):
    with pytest.raises(DataError, match=r"data\.folds=7: class 0 has only 6 training images of mnist, and each fold"):
        load_splits("mnist", str(numbered), "holdout", 0.2, 0, fold=(0, 7))


def test_validation_test_is_the_test_set(numbered):
    splits = load_splits("mnist", str(numbered), "test", holdout_size=20, split_seed=0)
    assert numbers(splits.train) == list(range(60))
    assert splits.validation is splits.test


def test_the_arrays_of_a_data_set_are_read_only(numbered):
    """Several measures share them, and no measure may spoil them for the next."""
    data_set = load_data_set("mnist", str(numbered))
    for part in (data_set.train, data_set.test):
        for array in (part.images, part.labels):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


@pytest.mark.parametrize("validation", ["holdout", "test"])
def test_the_next_job_of_a_process_gets_the_same_arrays(numbered, validation):
    """No bytes are copied, no file is read: they are those of the job before, and nobody can have spoilt them."""
    first = load_splits("mnist", str(numbered), validation, 20, 0)
    assert load_splits("mnist", str(numbered), validation, 20, 0) is first
    for part in (first.train, first.validation, first.test):
        for array in (part.images, part.labels):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_a_process_holds_one_scaled_copy_of_the_images(numbered):
    """70 images as bytes, and the floats of the splits: nothing else stays, whatever was split before."""
    # Other data first: what is imported on the way must not be counted, whichever test comes first.
    import_module("mnist_flow.data.sets.mnist")
    load_splits("digits", None, "holdout", 20, 0)
    tracemalloc.start()
    try:
        for seed in range(5):
            hold_out(numbered, seed=seed)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.2 * 70 * 28 * 28 * (1 + 4)


def test_pixels_are_scaled_by_a_factor_in_every_part(numbered):
    plain, scaled = hold_out(numbered), load_splits("mnist", str(numbered), "holdout", 20, 0, 1 / 255)
    for part in ("train", "validation", "test"):
        images = getattr(scaled, part).images
        assert images.dtype == np.float32
        np.testing.assert_array_equal(images, getattr(plain, part).images * np.float32(1 / 255))


def test_the_origin_of_a_data_set_is_known_without_its_floats(numbered):
    info, data_set = load_info("mnist", str(numbered)), load_data_set("mnist", str(numbered))
    assert (info.name, info.source, info.digest) == (data_set.name, data_set.source, data_set.digest)
    assert info.source == str(numbered)


@pytest.mark.parametrize("size", [1, 9, 51, 60])
def test_holdout_size_out_of_range(numbered, size):
    with pytest.raises(DataError, match=f"data.holdout_size={size}: must be from 10 to 50 for these 60 images"):
        hold_out(numbered, size)


@pytest.mark.parametrize("size", [10, 50])
def test_holdout_size_at_the_ends_of_its_range(numbered, size):
    splits = hold_out(numbered, size)
    assert (len(splits.train), len(splits.validation)) == (60 - size, size)


def test_holdout_of_a_digit_with_one_image(tmp_path, arrays):
    labels = np.arange(60) % 9
    labels[0] = 9
    images = np.zeros((60, 28, 28), np.uint8)
    path = save(tmp_path / "mnist.npz", **{**arrays, "x_train": images, "y_train": labels})
    with pytest.raises(
        DataError,
        match=r"^data=mnist data.holdout_size=20: class 9 has a single image, and both parts need one; add im",
    ):
        hold_out(path)


@pytest.mark.parametrize("trailing", [(), (1,)])
def test_mnist_file_is_scaled(tmp_path, arrays, trailing):
    arrays["x_train"][0, 0, :3] = [0, 51, 255]
    arrays["x_train"] = arrays["x_train"].reshape(20, 28, 28, *trailing)
    path = save(tmp_path / "mnist.npz", **arrays)
    data_set = load_data_set("mnist", str(path))
    assert (data_set.name, data_set.source) == ("mnist", str(path))
    assert (data_set.train.images.shape, data_set.train.images.dtype) == ((20, 28, 28, 1), np.float32)
    assert (data_set.train.labels.dtype, data_set.train.labels.tolist()) == (np.int64, [*range(10), *range(10)])
    np.testing.assert_array_equal(data_set.train.images[0, 0, :3, 0], np.array([0, 0.2, 1], np.float32))
    assert data_set.test.images.shape == (10, 28, 28, 1)
    assert data_set.test.labels.tolist() == list(range(10))


def test_mnist_file_in_the_home_folder(tmp_path, arrays, monkeypatch):
    save(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_data_set("mnist", "~/mnist.npz").train) == 20


@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_digest_covers_every_array(tmp_path, arrays, key):
    digest = load_data_set("mnist", str(save(tmp_path / "a.npz", **arrays))).digest
    same = load_data_set("mnist", str(save(tmp_path / "b.npz", **arrays))).digest
    arrays[key] = arrays[key][::-1]
    other = load_data_set("mnist", str(save(tmp_path / "c.npz", **arrays))).digest
    assert digest == same != other
    assert len(digest) == 16


def test_an_unchanged_file_stays_in_memory(tmp_path, arrays):
    path = save(tmp_path / "mnist.npz", **arrays)
    assert load_info("mnist", str(path)) is load_info("mnist", str(path))


def test_a_changed_file_is_read_again(tmp_path, arrays):
    path = save(tmp_path / "mnist.npz", **arrays)
    before = load_data_set("mnist", str(path))
    save(path, **{**arrays, "y_train": arrays["y_train"][::-1]})
    # As if a second had passed: the size is the same.
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    after = load_data_set("mnist", str(path))
    assert after.train.labels.tolist() == before.train.labels.tolist()[::-1]
    assert after.digest != before.digest


@pytest.fixture
def empty_caches():
    """What other tests have loaded takes no room."""
    DATA_SETS.clear()
    SPLITS.clear()


@pytest.mark.usefixtures("empty_caches")
def test_a_process_keeps_two_data_sets_and_one_choice_of_splits(tmp_path, arrays):
    paths = [str(save(tmp_path / f"{name}.npz", **arrays)) for name in "abc"]

    def load(path: str, *split: object) -> object:
        return load_splits("mnist", path, *split) if split else load_info("mnist", path)

    first, second = load(paths[0]), load(paths[1])
    assert load(paths[0]) is first
    load(paths[2])  # the second, whose last use is the longest ago, makes room
    assert load(paths[0]) is first
    assert load(paths[1]) is not second
    splits = load(paths[0], "test", 10, 0)
    assert load(paths[0], "test", 10, 0) is splits
    others = [("holdout", 10, 0), ("holdout", 10, 1), ("test", 11, 0), ("test", 10, 0, 0.5)]
    for split in others:
        other = load(paths[0], *split)
        assert other is not splits
        assert load(paths[0], *split) is other
    assert load(paths[0], "test", 10, 0) is not splits


def test_what_is_kept_can_be_forgotten(tmp_path, arrays):
    path = str(save(tmp_path / "a.npz", **arrays))
    info, splits = load_info("mnist", path), load_splits("mnist", path, "test", 10, 0)
    DATA_SETS.clear()
    SPLITS.clear()
    assert load_info("mnist", path) is not info
    assert load_splits("mnist", path, "test", 10, 0) is not splits


OWN = """
import numpy as np
from mnist_flow.config.train import DataSection
from mnist_flow.data.dataset import RawData

class Config(DataSection):
    pass

def load(path=None):
    x = np.arange(12 * 4 * 5 * 3, dtype=np.uint8).reshape(12, 4, 5, 3)
    return RawData("memory", (4, 5, 3), ("cat", "dog", "frog"), x, np.arange(12) % 3 + SHIFT, x[:3], np.arange(3))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes a module of the user's own with a data set in colour; returns its name."""

    def write(shift: int, *changes: tuple[str, str]) -> str:
        name = f"my_data_{shift}_{len(changes)}"
        code = OWN.replace("SHIFT", str(shift))
        for old, new in changes:
            code = code.replace(old, new)
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def test_a_data_set_of_the_users_own_has_its_own_shape_and_classes(own):
    module = own(0)
    info = load_info("animals", module=module)
    assert (info.name, info.source, info.input_shape) == ("animals", "memory", (4, 5, 3))
    assert (info.class_names, info.n_classes) == (("cat", "dog", "frog"), 3)
    splits = load_splits("animals", None, "holdout", 3, 0, module=module)
    assert splits.train.images.shape == (9, 4, 5, 3)
    assert np.bincount(splits.validation.labels).tolist() == [1, 1, 1]
    assert splits.test.images[0, 0, 0].tolist() == [np.float32(value) / np.float32(255) for value in (0, 1, 2)]
    with pytest.raises(DataError, match="must be from 3 to 9 for these 12 images"):
        load_splits("animals", None, "holdout", 2, 0, module=module)


def test_a_users_own_data_set_is_named_in_a_config(own, compose_config):
    cfg = compose_config("model=mlp_64_64")
    cfg.data = {**cfg.data, "name": "animals", "module": own(0), "path": None, "holdout_size": 3}
    config = validate_config(cfg, TrainConfig)
    (job,) = list_replicates([], config)
    assert job.params["data.name"] == "animals"
    assert job.identity == identify(config, load_info("animals", module=config.data.module).digest)


def test_a_data_set_that_is_not_what_it_says_is_told_without_the_remedies_of_mnist(own):
    with pytest.raises(DataError) as raised:
        load_info("animals", module=own(1))
    assert str(raised.value) == "memory: y_train holds labels 1 to 3, but must hold 0 to 2."


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([("np.arange(12) % 3", "np.arange(12) % 2")], "classes without a training image: frog."),
        ([('"frog"', '"frog", "gnu", "yak"')], "classes without a training image: gnu yak."),
        (
            [
                ('("cat", "dog", "frog")', '("cat",)'),
                ("np.arange(12) % 3", "np.arange(12) * 0"),
                ("np.arange(3)", "np.zeros(3, int)"),
            ],
            "has the classes ['cat'], but there must be at least 2",
        ),
        (
            [('"frog"', '"dog"')],
            "class_names has dog more than once, and tables would mix these classes; give each a name of its own",
        ),
        ([('"memory", (4, 5, 3)', '"memory", (4, 5)')], "input_shape=(4, 5): must be (height, width, channels)"),
        ([('("cat", "dog", "frog")', "3")], "class_names=3: must be a tuple with a name for each class"),
        ([("np.arange(3))", "list('abc'))")], "y_test is <U1, but must hold integers 0 to 2."),
        (
            [("x, np.arange(12)", "x.tolist(), np.arange(12)")],
            "x_train is int64, but must be uint8 with pixels 0 to 255.",
        ),
    ],
)
def test_a_users_own_data_set_has_classes_that_can_be_learned(own, changes, told):
    with pytest.raises(DataError) as raised:
        load_info("animals", module=own(0, *changes))
    assert str(raised.value) == f"memory: {told}"


def test_labels_and_class_names_may_be_lists_of_numbers(own):
    plain, lists = (
        load_info("animals", module=own(0, ('"cat", "dog", "frog"', "'0', '1', '2'"), *changes))
        for changes in ([], [("('0', '1', '2')", "[0, 1, 2]"), ("np.arange(3))", "[0, 1, 2])")])
    )
    assert (lists.class_names, lists.digest) == (("0", "1", "2"), plain.digest)


def test_lists_that_are_no_array_are_told(own):
    with pytest.raises(DataError, match=r"^memory: y_test is no array: setting an array element with a sequence"):
        load_info("animals", module=own(5, ("np.arange(3))", "[0, [1], 2])")))


def test_the_class_names_of_the_digits(tmp_path, arrays):
    for info in (load_info("digits"), load_info("mnist", str(save(tmp_path / "a.npz", **arrays)))):
        assert info.class_names == tuple("0123456789")
        assert info.input_shape == (28, 28, 1)


def test_missing_file(tmp_path):
    path = tmp_path / "nowhere.npz"
    assert_refused(path, "no such file")


def test_folder_instead_of_a_file(tmp_path):
    assert_refused(tmp_path, "is a folder, not an .npz file")


def test_file_of_an_unknown_user():
    assert_refused(Path("~no_such_user/mnist.npz"), "no such file")


def test_missing_key(tmp_path, arrays):
    del arrays["y_train"], arrays["x_test"]
    path = save(tmp_path / "mnist.npz", **arrays)
    assert_refused(path, "lacks y_train x_test; it holds x_train y_test")


def test_truncated_file(tmp_path, arrays):
    path = save(tmp_path / "mnist.npz", **arrays)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert_refused(path, "is damaged or cut short (File is not a zip file); copy or save it again")
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("content", [b"", b"x_train", pickle.dumps([1, 2])], ids=["empty", "text", "pickle"])
def test_file_of_another_kind(tmp_path, content):
    path = tmp_path / "mnist.npz"
    path.write_bytes(content)
    assert_refused(path, "is no .npz file, which np.savez writes")


def test_file_that_may_not_be_read(tmp_path, arrays, monkeypatch):
    path = save(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setattr(Path, "open", Mock(side_effect=PermissionError(13, "Permission denied")))
    monkeypatch.setattr(builtins, "open", Mock(side_effect=PermissionError(13, "Permission denied")))
    assert_refused(path, "can't be read (Permission denied)")


def test_an_archive_of_much_else_is_told_in_one_short_line(tmp_path):
    path = tmp_path / "mnist.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(1000):
            archive.writestr(f"cat/{number}.png", b"")
    with pytest.raises(DataError, match=r"lacks x_train y_train x_test y_test; it holds cat/0.png .* …\. ") as raised:
        load_info("mnist", str(path))
    assert len(str(raised.value)) < 700


def test_npy_instead_of_npz(tmp_path, arrays):
    np.save(tmp_path / "mnist.npy", arrays["x_train"])
    assert_refused(
        tmp_path / "mnist.npy", "is a single array (.npy), not an .npz file; save all arrays in one file wit"
    )


def test_damaged_byte(tmp_path, arrays):
    path = save(tmp_path / "mnist.npz", **arrays)
    content = bytearray(path.read_bytes())
    content[5000] ^= 255
    path.write_bytes(content)
    assert_refused(path, "is damaged or cut short (")


def test_damaged_compressed_file(tmp_path, arrays):
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, **arrays)
    content = bytearray(path.read_bytes())
    content[200:260] = b"\xff" * 60
    path.write_bytes(content)
    assert_refused(path, "is damaged or cut short (")


@pytest.mark.parametrize(
    ("key", "bad", "reason"),
    [
        ("x_train", np.zeros((20, 28, 28), np.float32), "x_train is float32, but must be uint8"),
        ("x_test", np.zeros((10, 28, 28), np.int64), "x_test is int64, but must be uint8"),
        ("x_train", np.zeros((20, 784), np.uint8), "x_train has the shape (20, 784), but must be (n, 28, 28)"),
        ("x_train", np.zeros((20, 28, 28, 3), np.uint8), "x_train has the shape (20, 28, 28, 3)"),
        ("x_test", np.zeros((0, 28, 28), np.uint8), "x_test has the shape (0, 28, 28)"),
        ("x_test", np.uint8(0), "x_test has the shape ()"),
        ("y_train", np.arange(20), "y_train holds labels 0 to 19, but must hold 0 to 9"),
        ("y_train", np.arange(20) % 10 - 1, "y_train holds labels -1 to 8, but must hold 0 to 9"),
        ("y_test", np.arange(1, 11), "y_test holds labels 1 to 10, but must hold 0 to 9"),
        ("y_train", np.arange(19) % 10, "y_train has the shape (19,), but x_train has 20 images"),
        ("y_test", np.eye(10, dtype=np.uint8), "y_test has the shape (10, 10), but x_test has 10 images"),
        ("y_train", np.arange(20) % 10.0, "y_train is float64, but must hold integers 0 to 9"),
        ("y_train", np.ones(20, bool), "y_train is bool, but must hold integers 0 to 9"),
        (
            "y_train",
            np.array([*range(10)] * 2, dtype=object),
            "holds Python objects, not only numbers and texts; save it without them",
        ),
    ],
)
def test_malformed_array(tmp_path, arrays, key, bad, reason):
    path = save(tmp_path / "mnist.npz", **{**arrays, key: bad})
    assert_refused(path, reason)


@pytest.fixture
def mnist_file() -> str:
    path = os.environ.get("MNIST_NPZ")
    if not path:
        pytest.skip("MNIST_NPZ is not set")
    return path


@pytest.fixture
def mnist(mnist_file) -> DataSet:
    return load_data_set("mnist", mnist_file)


def test_mnist_has_its_60000_and_10000_digits(mnist):
    for part, counts in (
        (mnist.train, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        (mnist.test, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    ):
        assert part.images.shape == (sum(counts), 28, 28, 1)
        assert np.bincount(part.labels).tolist() == counts
        assert (part.images.min(), part.images.max()) == (0, 1)
    assert (len(mnist.train), len(mnist.test)) == (60_000, 10_000)
    assert mnist.train.labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_mnist_holdout_is_stratified(mnist, mnist_file):
    splits = load_splits("mnist", mnist_file, "holdout", holdout_size=10_000, split_seed=0)
    assert (len(splits.train), len(splits.validation)) == (50_000, 10_000)
    np.testing.assert_allclose(np.bincount(splits.validation.labels), np.bincount(mnist.train.labels) / 6, atol=1)
