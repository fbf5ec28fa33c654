"""Suggest known names that resemble an unknown one."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'epochs'?` with the known names that resemble a dotted name, or `.` if none does.

    A name also matches by its last part: `learning_rate` finds `optimizer.learning_rate`.
    """
    choices = list(known)
    matches = [choice for choice in choices if choice.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    matches += [match for match in get_close_matches(name, choices, n=3, cutoff=0.6) if match not in matches]
    last_parts = {choice.rsplit(".", 1)[-1] for choice in choices}
    close = get_close_matches(name.rsplit(".", 1)[-1], last_parts, n=2, cutoff=0.75)
    matches += [choice for choice in choices if choice.rsplit(".", 1)[-1] in close and choice not in matches]
    if not matches:
        return "."
    return "; did you mean " + " or ".join(f"'{match}'" for match in matches[:3]) + "?"
