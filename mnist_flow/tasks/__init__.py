"""What networks are for, a task a file: what they learn, what their runs log, and how a result is told."""
