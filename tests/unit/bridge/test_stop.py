"""The stop comes whatever the process does when the signal arrives."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal
from headrace.process.stop import Stop

stop = Stop()
stop.on_signals()
with stop._event._cond:  # as for a moment at the beginning of each wait
    os.kill(os.getpid(), signal.Signals({number}))
    for _ in range(1000):
        pass
assert stop.wait(30)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_p5_a_signal_is_heard_while_the_main_thread_begins_to_wait(number: int) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(number=int(number))], timeout=60, check=False)
    assert done.returncode == 0
