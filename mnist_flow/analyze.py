"""Compare runs: ask the tracking server, draw, save and log. python -m mnist_flow.analyze --help."""

from omegaconf import DictConfig

from mnist_flow import cli


@cli.command("analyze")
def main(cfg: DictConfig) -> None:
    from mnist_flow.analysis.study import run_study

    with cli.job():
        run_study(cfg)


if __name__ == "__main__":
    cli.run(main, "analyze")
