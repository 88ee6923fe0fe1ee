"""Waiting for a condition, with a bound. Nothing in the laboratory sleeps to synchronise."""

import time


class Timeout(AssertionError):
    """A condition did not come true in time."""


def wait_until(predicate, timeout=10.0, message='', interval=0.01):
    """Polls until predicate() is true and returns its value; raises Timeout after `timeout` seconds.

    message: a text, or a function that makes one (called only on failure, to show what was seen).
    """
    end = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= end:
            what = message() if callable(message) else message
            raise Timeout(f'not within {timeout} s: {what or getattr(predicate, "__name__", predicate)}')
        time.sleep(interval)


def stays(predicate, seconds, message='', interval=0.02):
    """Asserts that predicate() is true and stays so for a while: for what must not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert predicate(), message() if callable(message) else message
        time.sleep(interval)


def boottime_ns():
    """CLOCK_BOOTTIME, the clock of the event log and of the daemon's lease."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
