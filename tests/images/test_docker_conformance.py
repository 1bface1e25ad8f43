"""The conformance test on the docker driver."""

from tests.helpers.driver_conformance import DriverConformance


class TestDocker(DriverConformance):
    """On containers."""
