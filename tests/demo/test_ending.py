"""Signals that end the fleet demo."""

import os
import signal

import pytest

from sanderling_devices.demo.command import ended_by_signals

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def defaults():
    """Where these tests are a shell's background job, SIGINT is ignored, and the demo leaves ignored signals so."""
    former = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_with_its_number(number):
    with ended_by_signals(), pytest.raises(SystemExit) as ended:
        os.kill(os.getpid(), number)
    assert ended.value.code == 128 + number


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_comes_in_a_finalizer_is_not_lost():
    class Unlucky:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with ended_by_signals() as check:
        unlucky = Unlucky()
        check()
        del unlucky
        with pytest.raises(SystemExit) as ended:
            check()
        os.kill(os.getpid(), signal.SIGTERM)  # another one changes nothing
    assert ended.value.code == 128 + signal.SIGINT


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    with ended_by_signals() as check:
        os.kill(os.getpid(), signal.SIGHUP)
        check()
