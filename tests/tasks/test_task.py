import pytest

from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.tasks import find_task

# Three classes of small, wide images in colour: nothing here is 28 or ten.
INFO = DatasetInfo("coloured", "nowhere", "0" * 16, (4, 6, 3), ("cat", "dog", "newt"))


@pytest.mark.parametrize(
    ("name", "title", "inputs", "output"),
    [
        ("classification", "a classifier", ((4, 6, 3),), (3,)),
        ("reconstruction", "an autoencoder", ((4, 6, 3),), (4, 6, 3)),
        ("generation", "a conditional autoencoder", ((4, 6, 3), (3,)), (4, 6, 3)),
    ],
)
def test_the_shapes_of_a_task_follow_from_the_data(name, title, inputs, output):
    task = find_task(name)
    assert (task.title, task.input_shapes(INFO), task.output_shape(INFO)) == (title, inputs, output)


def test_there_is_no_other_task():
    with pytest.raises(ModuleNotFoundError, match="segmentation"):
        find_task("segmentation")
