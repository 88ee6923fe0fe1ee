#!/usr/bin/python3
"""Presses Ctrl-C in the live view of tests/demo at many moments, once or several times, and sees that it ends quietly, gives
the terminal back, and leaves no process and no file behind.

    tests/extra/demo/interrupt.py [--runs N] [--within SECONDS] [--seed S]
"""

import argparse
import fcntl
import os
import pty
import random
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..', '..'))
sys.path.insert(1, os.path.join(TOP, 'tests', 'integration'))

from lab.process import describe  # noqa: E402
from lab.wait import Timeout, wait_until  # noqa: E402

LIMIT_S = 60
BETWEEN_S = 0.03
INTERRUPTED = (-2, 130, 143)  # by SIGINT; of SIGINT; of the SIGTERM that the shell hands on
NOISE = ('Traceback', 'Error', 'Exception')


def start(directory):
    """The demonstration on a terminal of its own, with files below the directory; (pid, terminal)."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.chdir(TOP)
        os.execvpe('tests/demo', ['tests/demo', '--servers=1'], {**os.environ, 'TMPDIR': directory})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 120, 0, 0))
    # Before that there is nobody whom a key could reach.
    wait_until(lambda: 'tests/demo --servers=1' in describe(pid), 10, 'tests/demo is executed', 0.0005)
    return pid, terminal


def read_to_end(terminal, presses):
    """All that it says; presses: moments of Ctrl-C, in seconds from now. None if it does not end."""
    begin, said, presses = time.monotonic(), b'', list(presses)
    while (now := time.monotonic() - begin) < LIMIT_S:
        if presses and now >= presses[0]:
            presses.pop(0)
            try:
                os.write(terminal, b'\x03')
            except OSError:
                pass  # it has ended
        if not select.select([terminal], [], [], 0.005)[0]:
            continue
        try:
            more = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            return said
        if not more:
            return said
        said += more
    return None


def processes_of(directory):
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                if directory.encode() in file.read() and int(pid) != os.getpid():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def faults_of(directory, status, said):
    """What is wrong with an end, in words."""
    if said is None:
        yield f'does not end within {LIMIT_S} s'
        return
    text = said.decode(errors='replace')
    if os.waitstatus_to_exitcode(status) not in INTERRUPTED:
        yield f'ends with {os.waitstatus_to_exitcode(status)}'
    if any(word in text for word in NOISE):
        yield f'says:\n{text[-2000:]}'
    if '\x1b[?1049h' in text and '\x1b[?1049l' not in text:
        yield 'keeps the terminal'
    try:
        # A compiler that was told to end may take a moment.
        wait_until(lambda: not processes_of(directory), 5)
    except Timeout:
        yield f'leaves processes {[describe(pid) for pid in processes_of(directory)]}'
    if os.listdir(directory):
        yield f'leaves {os.listdir(directory)}'


def try_once(directory, presses):
    pid, terminal = start(directory)
    said = read_to_end(terminal, presses)
    if said is None:
        os.kill(pid, 9)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    faults = list(faults_of(directory, status, said))
    for left in processes_of(directory):
        os.kill(left, 9)
    subprocess.run(['find', directory, '-mindepth', '1', '-delete'], check=False)
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n', maxsplit=1)[0])
    parser.add_argument('--runs', type=int, default=20)
    parser.add_argument('--within', type=float, default=4.0)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    rng, failed = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory(prefix='primaryd-interrupt-') as directory:
        for _ in range(options.runs):
            # Most of what can go wrong goes wrong soon after the start.
            first = options.within * rng.random() ** 2
            presses = [first + BETWEEN_S * n for n in range(rng.choice((1, 1, 2, 5)))]
            faults = try_once(directory, presses)
            failed += bool(faults)
            for fault in faults:
                print(f'Ctrl-C at {", ".join(f"{at:.3f}" for at in presses)} s: {fault}')
    print(f'interrupted {options.runs} times, {failed} not as it should be')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
