"""What a person sees in the terminal: live progress, and printed lines and tables."""

from mnist_flow.runtime.terminal.progress import SweepProgress as SweepProgress
from mnist_flow.runtime.terminal.progress import TrainingProgress as TrainingProgress
from mnist_flow.runtime.terminal.tables import count as count
from mnist_flow.runtime.terminal.tables import format_mean as format_mean
from mnist_flow.runtime.terminal.tables import format_replicates as format_replicates
from mnist_flow.runtime.terminal.tables import print_evaluations as print_evaluations
from mnist_flow.runtime.terminal.tables import print_line as print_line
from mnist_flow.runtime.terminal.tables import print_missing as print_missing
from mnist_flow.runtime.terminal.tables import print_plan as print_plan
from mnist_flow.runtime.terminal.tables import print_replicates as print_replicates
from mnist_flow.runtime.terminal.tables import print_summary as print_summary
from mnist_flow.runtime.terminal.tables import print_table as print_table
from mnist_flow.runtime.terminal.tables import print_time as print_time
