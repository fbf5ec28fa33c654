"""What moved, as conf/relocate.yaml describes it."""

from typing import Self

from pydantic import model_validator

from mnist_flow.config.section import Section
from mnist_flow.config.tracking import ServerConfig


class RelocateConfig(Section):
    """Where artifacts were and where they are now."""

    moved_from: str | None
    moved_to: str | None
    apply: bool
    tracking: ServerConfig

    @model_validator(mode="after")
    def check_both(self) -> Self:
        """Refuse one folder without the other."""
        if (self.moved_from is None) != (self.moved_to is None):
            raise ValueError("moved_from and moved_to: name both, or none of them")
        return self
