"""What a piece of work is, and who does it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KERAS, AUTOLOG, TORCH, OURS = "keras", "autolog", "torch", "ours"
TITLES = {
    KERAS: "plain Keras loop",
    AUTOLOG: "the same under autologging",
    TORCH: "plain PyTorch loop",
    OURS: "this project",
}


@dataclass(frozen=True)
class Contender:
    """A command that does the work."""

    name: str
    title: str
    # After `python -m`. Fields in braces are filled in from the facts of the preparation, {round} by its number.
    arguments: tuple[str, ...]
    needs: str | None = None  # a package, say torch
    runs: int | None = None  # trainings that it does, where it reports them
    one_thread: bool = False  # else a thread a core, or a process a core
    precision: str = "float32"
    # The contender that it is compared with, where that is another one than the work's.
    reference: str | None = None

    @property
    def command(self) -> str:
        """As it is printed on the page."""
        words = ("python", "-m", *(re.sub(r"\{(\w+)\}", lambda field: field[1].upper(), one) for one in self.arguments))
        return " ".join(f"'{word}'" if set(word) & set("[]()*") else word for word in words)


@dataclass(frozen=True)
class Training:
    """What is trained, to count its operations."""

    overrides: tuple[str, ...]  # of the network's config
    runs: int


@dataclass(frozen=True)
class Work:
    """A piece of work that contenders do in turns."""

    key: str
    title: str
    contenders: tuple[Contender, ...]
    epochs: int | None = None
    reference: str = KERAS
    # The number that contenders are compared by.
    measure: str = "seconds"
    training: Training | None = None
    # Makes what the commands need in their common folder, untimed; returns facts.
    prepare: Callable[[Path, str], dict[str, str]] | None = None
    # What was prepared is put back before each command, which so finds nothing of the others.
    renewed: bool = False
    # Reads further numbers from the folder after each command, given the time at which it began.
    read: Callable[[Path, float], dict[str, Any]] | None = None
    # Contenders that are not run on this machine, and why.
    left_out: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
