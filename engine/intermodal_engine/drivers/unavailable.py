"""The error of a driver that cannot be had."""


class DriverUnavailableError(Exception):
    """The named driver cannot be had here; the message says what to do."""
