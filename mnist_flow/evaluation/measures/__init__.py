"""Measures of logged models, one a file: the schema of the option, and the functions that measure.

A module here, or one of a user's own that the key `module` of an option in conf/measure names, holds:

`Config`
    What the option says, an `OptionSection`. A key whose type is a `PartnerConfig` chooses another logged model.
`TASKS`
    Names of the tasks that the measured model may be for.
`PARTNER_TASKS` (where there are partners)
    The task that the model of each `PartnerConfig` must be for, by its key.
`NEEDED_LAYERS` (optional)
    Names of layers that the measured model must have, such as `encoder` and `decoder`; a U-Net has neither.
`measure(name, config, subject)`
    Measures a `Subject`; returns an `EvaluationResult`.
`summarise(name, metrics)` (optional)
    Chooses the columns of the command's table from what was measured, text → number. Without it, all metrics.
`check(name, config, info)` (optional)
    Raises ConfigError where the config asks for what images as the `DatasetInfo` has them don't have.
`describe_read(config)` (optional)
    What stands for the config of a measure that reads files in an evaluation's identity: a digest of their content.

`name` is the name of the option. A table is the artifact `tables/{name}.json`; its columns before `n`, the number of
images, say under which condition a row was measured.
"""
