"""The loops that a user would write instead, each a whole process with a command line."""
