"""The studies of `analyze`, one a file: runs in, a figure and its tables out."""
