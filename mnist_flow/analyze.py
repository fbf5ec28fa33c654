"""Compare runs: ask the tracking server, draw, save and log. python -m mnist_flow.analyze --help."""

import sys
from pathlib import Path

from omegaconf import DictConfig

if not __package__:
    # Started as a file, as an editor's Run button does: Python looks for packages beside this file only.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from mnist_flow import cli


@cli.command("analyze")
def main(cfg: DictConfig) -> None:
    with cli.job():
        from mnist_flow.analysis.study import run_study

        run_study(cfg)


if __name__ == "__main__":
    cli.run(main, "analyze")
