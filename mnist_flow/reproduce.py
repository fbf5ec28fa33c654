"""Reproduce the reports, only what is missing: python -m mnist_flow.reproduce --help."""

import sys
from pathlib import Path

from omegaconf import DictConfig

if not __package__:
    # Started as a file, as an editor's Run button does: Python looks for packages beside this file only.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from mnist_flow import cli


@cli.command("reproduce")
def main(cfg: DictConfig) -> None:
    with cli.job():
        from mnist_flow.reproduction.orchestrator import run_reproduction

        run_reproduction(cfg)


if __name__ == "__main__":
    sys.argv[1:] = ["plan=true" if argument == "--plan" else argument for argument in sys.argv[1:]]
    cli.run(main, "reproduce")
