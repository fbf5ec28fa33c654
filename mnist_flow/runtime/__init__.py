"""The process that a command runs in: its terminal, machine, environment and credentials."""
