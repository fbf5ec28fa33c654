"""Reproduce the reports, only what is missing: python -m mnist_flow.reproduce --help."""

import sys

from omegaconf import DictConfig

from mnist_flow import cli


@cli.command("reproduce")
def main(cfg: DictConfig) -> None:
    from mnist_flow.reproduction.orchestrator import run_reproduction

    with cli.job():
        run_reproduction(cfg)


if __name__ == "__main__":
    sys.argv[1:] = ["plan=true" if argument == "--plan" else argument for argument in sys.argv[1:]]
    cli.run(main, "reproduce")
