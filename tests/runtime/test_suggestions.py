import pytest

from mnist_flow.runtime.suggestions import did_you_mean, find_similar

KNOWN = ["epochs", "seed", "reg", "batch_size", "optimizer.name", "optimizer.learning_rate", "evaluation.batch_size"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("epoch", "; did you mean 'epochs'?"),
        ("optimiser.name", "; did you mean 'optimizer.name'?"),
        ("learning_rate", "; did you mean 'optimizer.learning_rate'?"),
        ("training.learning_rate", "; did you mean 'optimizer.learning_rate'?"),
        ("lerning_rate", "; did you mean 'optimizer.learning_rate'?"),
        ("training.batch_size", "; did you mean 'batch_size' or 'evaluation.batch_size'?"),
        ("evaluation.size", "; did you mean 'evaluation.batch_size'?"),
        ("optimizer.lr", "; did you mean 'optimizer.learning_rate'?"),
        ("optimizer.rate", "; did you mean 'optimizer.learning_rate'?"),
        ("optimizer.nam", "; did you mean 'optimizer.name'?"),
        ("seed", "."),
        ("zzz", "."),
    ],
)
def test_close_names_are_found(name, expected):
    assert did_you_mean(name, KNOWN) == expected


def test_at_most_three_names():
    assert did_you_mean("a.level", [f"{group}.level" for group in "bcdef"]) == (
        "; did you mean 'b.level' or 'c.level' or 'd.level'?"
    )


def test_nothing_is_known():
    assert find_similar("epochs", []) == []
    assert did_you_mean("epochs", []) == "."


def test_names_may_come_from_an_iterator():
    assert did_you_mean("epoch", iter(["seed", "epochs"])) == "; did you mean 'epochs'?"


def test_the_shortest_of_what_is_abbreviated_comes_first():
    known = ["model.hidden_units_of_all", "model.hidden_units", "model.hidden_size_of_it"]
    assert find_similar("model.hid", known) == [known[1], known[2], known[0]]
