"""Train a run again from what it logged: python -m mnist_flow.rerun --help."""

import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

if not __package__:
    # Started as a file, as an editor's Run button does: Python looks for packages beside this file only.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from mnist_flow import cli
from mnist_flow.errors import ConfigError
from mnist_flow.train import main as train

HELP = """mnist_flow: the same run again from what was logged, also on another machine.

python -m mnist_flow.rerun run_id=ID [tracking.uri=URI] [overrides]

Composes the run's logged config, says what differs in code, data and packages, trains, tags the new run with the old
id, and says whether the metrics agree. Overrides are those of python -m mnist_flow.train, -m included.
"""


def main(held: ExitStack) -> None:
    """Compose the logged config, written into a folder that is there until `held` ends, beside the project's own."""
    from mnist_flow.runs.replay import write_config

    if {"--help", "-h"} & set(sys.argv):
        sys.stdout.write(HELP)
        return
    try:
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="mnist_flow_"))
        rest = write_config(sys.argv[1:], folder)
    except OSError as error:
        raise ConfigError(f"no temporary files can be written ({error}); TMPDIR=FOLDER names another folder") from error
    sys.argv[1:] = ["--config-dir", folder, "--config-name", "rerun", *rest]
    train()


if __name__ == "__main__":
    # It is there until an error is told: what is known of a misspelt key is in it.
    with ExitStack() as until_told:
        cli.run(partial(main, until_told))
