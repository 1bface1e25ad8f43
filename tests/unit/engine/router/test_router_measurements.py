"""Measurements are summed by instance, metric and second."""

from intermodal_engine.router.instance import Backend
from intermodal_engine.router.measurements import Measurement, Measurements

ONE = Backend("i-1", "digits", "main", 1, "us-east-1a", "127.0.0.1", 8080)
OTHER = Backend("i-2", "digits", "main", 1, "us-east-1b", "127.0.0.1", 8081)


def test_values_are_summed_within_a_second_and_taken_once() -> None:
    now = [10.0]
    measurements = Measurements(lambda: now[0])
    for value in (3.0, 1.0, 2.0):
        measurements.record(ONE, "Invocations", value)
    measurements.record(OTHER, "Invocations", 7.0)
    now[0] = 11.5
    measurements.record(ONE, "Invocations", 5.0)
    assert measurements.take() == [
        Measurement(ONE, "Invocations", 10, 3, 6.0, 1.0, 3.0),
        Measurement(OTHER, "Invocations", 10, 1, 7.0, 7.0, 7.0),
        Measurement(ONE, "Invocations", 11, 1, 5.0, 5.0, 5.0),
    ]
    assert measurements.take() == []
