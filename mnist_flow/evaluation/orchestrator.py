"""The story of `python -m mnist_flow.evaluate`: choose runs, plan, measure, and tell what was measured."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from mnist_flow.config.evaluate import EvaluateConfig
from mnist_flow.config.overrides import is_typed
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import RunError
from mnist_flow.evaluation.measurement import Context, measure_all
from mnist_flow.evaluation.plan import plan_evaluations
from mnist_flow.evaluation.selection import choose_runs
from mnist_flow.runtime.influences import settle_variables
from mnist_flow.runtime.project import prefer_typed_experiment
from mnist_flow.runtime.signals import way_on_told
from mnist_flow.runtime.terminal import count, print_evaluations, print_line

log = logging.getLogger(__name__)


def evaluate_runs(cfg: DictConfig) -> pd.DataFrame:
    """Measure the logged models of the chosen runs, unless that is done; an evaluation is a run below its training run.

    Args:
        cfg: the config that Hydra composed from conf/evaluate.yaml.

    Returns:
        A row an evaluation, those done before included: run, run_id, seed, measure, the columns of each measure's
        `summarise`, evaluation (its run id), state.

    Raises:
        UserError: bad config, a tracking server that does not answer, or no run that can be measured.
        RunError: some runs could not be measured; all others are.
    """
    settle_variables()
    config = validate_config(cfg, EvaluateConfig)

    # MLflow takes seconds to import, so bad input is told before.
    from mnist_flow import tracking

    prefer_typed_experiment(is_typed("tracking.experiment_name"))
    tracking.configure(config.tracking.uri, None if config.run_ids else config.tracking.experiment_name)
    adopted = tracking.adopt_project_run("evaluation")
    tracking.deliver_kept_records(Path(config.tracking.undelivered_dir))
    tracking.close_dead_runs()
    runs, not_chosen = choose_runs(config)
    looked_at = time.time()
    evaluations, refused = plan_evaluations(config, runs)
    todo = [one for one in evaluations if one.earlier is None]
    # A failure that is the only one is the error with which the command ends.
    is_lone = len(not_chosen) + len(refused) + len(todo) == 1
    for line in [] if is_lone else [*not_chosen, *refused]:
        log.error("%s", line)
    composed = OmegaConf.to_yaml(cfg, resolve=True)
    context = Context(config, composed, looked_at, config.tracking.patience, tells_failures=not is_lone)
    print_line(
        f"{count(len(evaluations), 'evaluation')}: {len(evaluations) - len(todo)} done before, {len(todo)} to measure"
    )
    done = [one.describe(one.earlier.run_id, one.earlier.metrics, "done before") for one in evaluations if one.earlier]
    tracking.check_places({one.run.experiment_id for one in todo})
    with way_on_told(holds=config.resume):
        measured, failed = measure_all(context, todo) if todo else ([], [])
    summary = pd.DataFrame(done + measured)
    if not summary.empty:
        summary = summary.sort_values(["run", "seed", "measure"], kind="stable", ignore_index=True)
        print_evaluations(summary)
        if adopted is not None:
            tracking.log_summary(adopted, summary)
        print_line(f"tracked at {tracking.get_uri()}, below the runs measured; look: {tracking.describe_ui_command()}")
    if troubles := [*not_chosen, *refused, *failed]:
        n_asked = (len(not_chosen) + len(runs)) * len(dict(config.measure))
        told = f"{n_asked - len(summary)} of {count(n_asked, 'evaluation')} failed, each told above"
        raise RunError(troubles[0] if is_lone else told)
    return summary
