"""Errors that a user can mend: each carries one line with the value, the choices and the remedy."""


class UserError(Exception):
    """Bad input; the command ends with exit status 2, before any run has begun."""


class ConfigError(UserError):
    """A key, type or value of the config is wrong."""


class DataError(UserError):
    """A data set can't be had or is not what it should be."""


class TrackingError(UserError):
    """The tracking server or its store does not answer or refuses."""


class RunError(Exception):
    """A run began and failed; the command ends with exit status 1."""


class DivergedError(RunError):
    """The loss became NaN or infinite."""


class PrunedError(RunError):
    """A search has ended a run early, because its result would not be among the best.

    Args:
        epoch: number of epochs that were finished; between two replicates, number of replicates.
        reason: why, in words.
    """

    def __init__(self, epoch: int, reason: str) -> None:
        super().__init__(f"pruned: {reason}")
        self.epoch = epoch
        self.reason = reason


class BusyError(RunError):
    """Another process trains the same config."""


class UndeliveredError(RunError):
    """The run has ended, but the server did not take its record, which is kept on disk."""


class LostRecordError(RunError):
    """The run has ended, the server did not take its record, and the disk did not either."""


class Aborted(BaseException):
    """Carries a UserError or RunError past Hydra, which would print or swallow an Exception; see `__cause__`."""


class Terminated(BaseException):
    """SIGTERM, SIGHUP or SIGQUIT arrived. Not an Exception, so that nothing but the run's own clean-up handles it.

    Args:
        signal_number: which of them.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number
