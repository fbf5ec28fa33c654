import pytest

from mnist_flow.analysis.dimensions import shorten_choices


@pytest.mark.parametrize(
    ("choices", "labels"),
    [
        (["relu", "gelu"], ["relu", "gelu"]),
        (
            ["[{filters:[8],kernel_size:5},{filters:[24]}]", "[{filters:[16],kernel_size:5},{filters:[32]}]"],
            ["8, 24", "16, 32"],
        ),
        # Of different lengths.
        (["[100]", "[500,400,300,200,100]"], ["[100]", "[500,40…00,100]"]),
        # What differs is long.
        (["a_name_of_a_network", "another_name_of_it"], ["a_name_…network", "another…e_of_it"]),
    ],
)
def test_long_choices_are_told_by_what_differs(choices, labels):
    assert shorten_choices(choices) == labels
