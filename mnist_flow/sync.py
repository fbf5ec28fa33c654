"""Deliver the records of runs whose tracking server was away: python -m mnist_flow.sync --help."""

from omegaconf import DictConfig

from mnist_flow import cli


@cli.command("sync")
def main(cfg: DictConfig) -> None:
    from mnist_flow.runs.undelivered import deliver_records

    with cli.job():
        deliver_records(cfg)


if __name__ == "__main__":
    cli.run(main, "sync")
