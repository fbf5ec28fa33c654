"""Live with many runs: list, delete, export and import them. python -m mnist_flow.runs --help."""

import sys
from pathlib import Path

from omegaconf import DictConfig

if not __package__:
    # Started as a file, as an editor's Run button does: Python looks for packages beside this file only.
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from mnist_flow import cli


@cli.command("runs")
def main(cfg: DictConfig) -> None:
    with cli.job():
        from mnist_flow.runs.upkeep import look_after_runs

        look_after_runs(cfg)


if __name__ == "__main__":
    cli.run(main, "runs")
