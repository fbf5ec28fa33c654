"""Data sets, one a file: the schema of the option and `load(path)`, which returns the data as a `RawData`."""
