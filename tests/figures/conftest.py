import pytest


@pytest.fixture(autouse=True)
def figures_stay(pictures: None) -> None:
    """What is drawn is compared as a whole, too."""
