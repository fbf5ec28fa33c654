"""What a run logs of itself: what it starts from, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib import style

from mnist_flow import figures, tracking
from mnist_flow.config.section import OptionSection
from mnist_flow.models.inspection import list_layers
from mnist_flow.models.subpixel import moves_pixels
from mnist_flow.runs.context import RunContext
from mnist_flow.runtime import environment
from mnist_flow.runtime.lazy import keras
from mnist_flow.runtime.own_code import list_own_files, list_own_objects
from mnist_flow.tasks import TrainedModel
from mnist_flow.training.devices import describe_devices
from mnist_flow.training.settings import TrainingResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mnist_flow.tracking import TrackedRun

# What an L2 penalty adds to the name of a loss.
_L2 = " + L2 penalty"
_VALIDATION_NAMES = {"holdout": "validation (held out)", "test": "validation (= test set)"}


def log_inputs(context: RunContext, run: TrackedRun) -> None:
    """Log what a run starts from: params, config, environment, code and data."""
    run.log_params(context.config.list_params())
    code = environment.describe_code()
    texts = context.describe_invocation()
    texts["environment/packages.txt"] = "\n".join(environment.list_packages()) + "\n"
    if code.get("diff"):
        texts["environment/uncommitted.diff"] = code["diff"]
    for section in vars(context.config).values():
        if isinstance(section, OptionSection) and section.module is not None:
            for name, file in list_own_files(section.module).items():
                texts[f"environment/own_code/{name}"] = file.read_text(encoding="utf-8", errors="replace")
    run.log_artifacts(
        texts=texts,
        records={
            "environment/machine.json": {**environment.describe_machine(), **describe_devices()},
            "environment/git.json": {key: value for key, value in code.items() if key != "diff"},
        },
    )
    splits = context.splits
    run.log_data_set(context.info, {"training": splits.train, "validation": splits.validation, "test": splits.test})


@style.context(figures.STYLE)
def log_results(
    context: RunContext, trained: TrainedModel, result: TrainingResult, run: TrackedRun
) -> dict[str, float]:
    """Measure a trained network as its task says, and log what comes out, how the training went, and the model.

    Returns:
        The final metrics.
    """
    report = context.task.measure(trained, result.selected_epoch)
    metrics = {**report.metrics, **_describe_training(trained.model, result)}
    run.log_metrics(metrics, tags={tracking.NOTE_TAG: _describe(context, metrics, run.run_id)})
    run.log_artifacts(
        figures={**report.draw(), **_plot_training(context, trained.model, result)}
        if context.config.tracking.log_figures
        else {},
        records=report.records,
        texts={"model_diagram/summary.txt": _summarise(trained.model)},
        arrays=report.arrays,
        tables=report.tables,
    )
    if context.in_sweep and context.config.tracking.keep_models == "none":
        run.set_tags({tracking.MODEL_DELETED_TAG: "tracking.keep_models=none"})
    elif context.config.tracking.log_model:
        own = _list_own_parts(trained.model, context.config.model.module)
        run.log_model(trained.model, report.input_example, report.output_example, own)
    return metrics


def _describe(context: RunContext, metrics: Mapping[str, float], run_id: str) -> str:
    """Describe a run in Markdown: its result, and how it is repeated."""
    columns = ["result", f"{context.config.model.name} on {context.config.data.name}"]
    result = tracking.format_table(pd.DataFrame(context.describe_result(metrics).items(), columns=columns))
    return tracking.join_parts(result, f"Repeat it: `python -m mnist_flow.rerun run_id={run_id}`")


def _list_own_parts(model: keras.Model, module: str | None) -> dict[str, Any]:
    """The classes and functions of the user's own that a model consists of, such as its layers' classes, by name."""
    if module is None:
        return {}
    described = model.to_json()
    return {name: part for name, part in list_own_objects(module).items() if f'"{name}"' in described}


def _describe_training(model: keras.Model, result: TrainingResult) -> dict[str, float]:
    return {
        **{f"selected_{name}": value for name, value in result.selected.items() if name != "learning_rate"},
        "selected_epoch": result.selected_epoch,
        "fit_seconds": result.fit_seconds,
        "n_parameters": model.count_params(),
    }


def _plot_training(context: RunContext, model: keras.Model, result: TrainingResult) -> dict[str, Figure]:
    config = context.config
    added = "" if config.training.adversarial_radius is None else "; training adds the virtual adversarial loss"
    curves = figures.plot_epoch_curves(
        result.history,
        f"{config.model.name} on {config.data.name}{added}",
        _VALIDATION_NAMES[config.data.validation],
        result.selected_epoch,
        context.task.loss_name if config.loss is None else f"loss ({config.loss.name}{_L2 if config.reg > 0 else ''})",
    )
    title = f"{config.model.name}: {model.count_params():,} parameters"
    diagram = figures.plot_model_diagram(list_layer_rows(model), title)
    return {"curves/epochs.png": curves, "curves/epochs.svg": curves, "model_diagram/diagram.png": diagram}


def list_layer_rows(model: keras.Model) -> list[figures.LayerRow]:
    """List the layers that a model's diagram shows, from input to output.

    Those that only move pixels about have no row: the row before them has the shape after them. An input has both.
    """
    inputs = [figures.LayerRow(one.name, "Input", _describe_shape(one.shape), 0) for one in model.inputs]
    rows = list(inputs)
    for layer in list_layers(model):
        shape = _describe_shape(layer.output.shape)
        if not moves_pixels(layer):
            rows.append(figures.LayerRow(layer.name, _describe_kind(layer), shape, layer.count_params()))
        elif len(rows) == len(inputs):
            rows[-1] = inputs[-1]._replace(output_shape=f"{inputs[-1].output_shape} → {shape}")
        else:
            rows[-1] = rows[-1]._replace(output_shape=shape)
    return rows


def _describe_kind(layer: keras.Layer) -> str:
    """Name a layer's class and, of a layer that joins several, the further ones, which the order of rows hides."""
    joined = layer.input[1:] if isinstance(layer.input, list) else []
    sources = [tensor._keras_history.operation.name.removesuffix("_halve") for tensor in joined]
    return " ".join([type(layer).__name__, *(f"+ {source}" for source in sources)])


def _describe_shape(shape: tuple[int | None, ...]) -> str:
    """Write the shape of one example, without the batch."""
    return " × ".join(str(size) for size in shape[1:])


def _summarise(model: keras.Model) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=100, expand_nested=True)
    return "\n".join(lines) + "\n"
