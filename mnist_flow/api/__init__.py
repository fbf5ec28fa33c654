"""What the commands do, as functions for scripts and notebooks; `import mnist_flow` gives them."""

from mnist_flow.api.commands import Study as Study
from mnist_flow.api.commands import evaluate as evaluate
from mnist_flow.api.commands import study as study
from mnist_flow.api.commands import train as train
from mnist_flow.api.records import Run as Run
from mnist_flow.api.records import run as run
from mnist_flow.api.records import runs as runs
from mnist_flow.api.sweeping import Sweep as Sweep
from mnist_flow.api.sweeping import sweep as sweep
