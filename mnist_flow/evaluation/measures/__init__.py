"""The measures of `evaluate`, one a file."""
