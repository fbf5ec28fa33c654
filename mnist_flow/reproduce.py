"""Reproduce the reports, only what is missing: python -m mnist_flow.reproduce --help."""

import sys

import hydra
from omegaconf import DictConfig

from mnist_flow import CONF_DIR, cli


@hydra.main(version_base="1.3", config_path=CONF_DIR, config_name="reproduce")
def main(cfg: DictConfig) -> None:
    from mnist_flow.reproduction.orchestrator import run_reproduction

    with cli.job():
        run_reproduction(cfg)


if __name__ == "__main__":
    sys.argv[1:] = ["plan=true" if argument == "--plan" else argument for argument in sys.argv[1:]]
    cli.run(main, "reproduce")
