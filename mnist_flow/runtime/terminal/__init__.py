"""What a person sees in the terminal: live progress, and printed lines and tables."""

from mnist_flow.runtime.terminal.progress import SweepProgress, TrainingProgress
from mnist_flow.runtime.terminal.tables import (
    print_evaluations,
    print_line,
    print_missing,
    print_plan,
    print_replicates,
    print_summary,
    print_table,
)

__all__ = [
    "SweepProgress",
    "TrainingProgress",
    "print_evaluations",
    "print_line",
    "print_missing",
    "print_plan",
    "print_replicates",
    "print_summary",
    "print_table",
]
