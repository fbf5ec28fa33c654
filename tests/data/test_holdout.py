import numpy as np
import pytest

from mnist_flow.data.holdout import choose_images


def test_the_same_fraction_of_each_class_is_taken_out():
    labels = np.array([0, 1] * 10 + [0] * 10)
    kept, taken = choose_images(labels, 6, seed=0, class_names=("a", "b"))
    assert np.bincount(labels[taken]).tolist() == [4, 2]
    assert sorted([*kept, *taken]) == list(range(30))
    assert (sorted(kept), sorted(taken)) == (kept.tolist(), taken.tolist())
    assert choose_images(labels, 6, seed=0, class_names=("a", "b"))[1].tolist() == taken.tolist()
    assert choose_images(labels, 6, seed=1, class_names=("a", "b"))[1].tolist() != taken.tolist()


@pytest.mark.parametrize("n", [2, 4])
def test_both_parts_have_an_image_of_each_class(n):
    labels = np.array([0, 1, 0, 1, 0, 1])
    kept, taken = choose_images(labels, n, seed=0, class_names=("a", "b"))
    assert set(labels[kept]) == set(labels[taken]) == {0, 1}


@pytest.mark.parametrize("n", [1, 5])
def test_too_few_images_for_either_part_are_told_with_what_is_possible(n):
    with pytest.raises(ValueError, match=r"^must be from 2 to 4 for these 6 images$"):
        choose_images(np.array([0, 1, 0, 1, 0, 1]), n, seed=0, class_names=("a", "b"))


def test_a_class_with_a_single_image_is_named():
    with pytest.raises(ValueError, match=r"^class b has a single image, and both parts need one; "):
        choose_images(np.array([0, 1, 0, 0]), 2, seed=0, class_names=("a", "b"))
