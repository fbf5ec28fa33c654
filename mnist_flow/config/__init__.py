"""What the files under conf/ may say: types, ranges and presets."""

from mnist_flow.config.options import Option, find_option
from mnist_flow.config.section import (
    Activation,
    Count,
    ExperimentName,
    Fraction,
    Name,
    NonNegative,
    OptionSection,
    Positive,
    ProperFraction,
    Section,
    Seed,
    flatten,
)
from mnist_flow.config.validation import validate_config

__all__ = [
    "Activation",
    "Count",
    "ExperimentName",
    "Fraction",
    "Name",
    "NonNegative",
    "Option",
    "OptionSection",
    "Positive",
    "ProperFraction",
    "Section",
    "Seed",
    "find_option",
    "flatten",
    "validate_config",
]
