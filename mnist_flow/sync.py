"""Deliver the records of runs whose tracking server was away: python -m mnist_flow.sync --help."""

import sys
from pathlib import Path

from omegaconf import DictConfig

if not __package__:
    # Started as a file, as an editor's Run button does: Python looks for packages beside this file only.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from mnist_flow import cli


@cli.command("sync")
def main(cfg: DictConfig) -> None:
    with cli.job():
        from mnist_flow.runs.undelivered import deliver_records

        deliver_records(cfg)


if __name__ == "__main__":
    cli.run(main, "sync")
