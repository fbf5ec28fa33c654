"""The reports' numbers beside ours: the story of `reproduce`, its verdicts and its pages."""
