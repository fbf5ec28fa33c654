"""What `evaluate` measures of a logged model: a module a measure, each with `measure` and `summarise`.

A measure is also a schema in config.py and a file in conf/measure, all by the same name; those of a classifier under
changed images share the module `conditions`.
"""
