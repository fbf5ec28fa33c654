"""Suggest known names that resemble an unknown one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'epochs'?` with the names that `find_similar` finds, or `.` if there are none."""
    matches = find_similar(name, known)
    return "; did you mean " + " or ".join(f"'{match}'" for match in matches) + "?" if matches else "."


def find_similar(name: str, known: Iterable[str]) -> list[str]:
    """Find up to three of the known names that resemble a dotted name, the best first.

    A name also matches by its last part: `learning_rate` finds `optimizer.learning_rate`. Names of its own group come
    first, and may be abbreviated: `optimizer.lr` finds that one, too.
    """
    group, _, last = name.rpartition(".")
    choices = [choice for choice in known if choice != name]
    siblings = [choice for choice in choices if group and choice.rpartition(".")[0] == group]
    matches = sorted((choice for choice in siblings if _abbreviates(last, _get_last(choice))), key=len)
    matches += [choice for choice in choices if _get_last(choice) == last]
    matches += _find_close(last, siblings, cutoff=0.6)
    if not siblings:
        matches += get_close_matches(name, choices, n=3, cutoff=0.6)
    matches += _find_close(last, choices, cutoff=0.75)
    return [*dict.fromkeys(matches)][:3]


def _get_last(name: str) -> str:
    return name.rpartition(".")[2]


def _abbreviates(short: str, long: str) -> bool:
    """Whether a text is the beginning of one of the words of a name, or their initials: unit or hu of hidden_units."""
    words = long.split("_")
    return any(word.startswith(short) for word in words) or short == "".join(word[:1] for word in words)


def _find_close(last: str, choices: Sequence[str], cutoff: float) -> list[str]:
    """The choices whose last part resembles that of a name, the most similar first."""
    close = get_close_matches(last, {_get_last(choice) for choice in choices}, n=2, cutoff=cutoff)
    return [choice for part in close for choice in choices if _get_last(choice) == part]
