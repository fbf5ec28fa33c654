"""Logged models measured anew: the story of `evaluate`."""
