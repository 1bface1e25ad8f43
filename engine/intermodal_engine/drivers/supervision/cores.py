"""`signal` without its enumerations, whose import costs 6 ms of an instance's start."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

__all__ = ["signal"]
