"""The figures of one run, and how a figure becomes a file."""
