"""zkh_probe as an object: one session, commands in, events with their times out."""

import re
import subprocess
import threading
import time

from lab.node import program
from lab.wait import wait_until

PROBE = program('tests/integration/zkh_probe')


class Probe:
    """One process with one session. A context manager; its end drops the session."""

    def __init__(self, connect, timeout_ms, root='/', host=None, env=None, options=()):
        argv = [PROBE, connect, root, str(timeout_ms), *map(str, options)]
        argv = ['setpriv', '--pdeathsig', 'KILL', '--', *(host.wrap(argv) if host else argv)]
        self.lines = []  # (time.monotonic(), text without the probe's own time)
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, bufsize=1, env=env)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.append((time.monotonic(), re.sub(r'^\d+\.\d+ ', '', line.rstrip('\n'))))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.stdin.close()
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.reader.join(5)
        complaints = [text for _, text in self.lines if re.search(r'Sanitizer|runtime error|Assertion', text)]
        assert not complaints, self.tail()

    def tail(self):
        return '\n'.join(text for _, text in self.lines[-20:])

    def send(self, *words):
        self.child.stdin.write(' '.join(map(str, words)) + '\n')
        self.child.stdin.flush()

    def mark(self):
        return len(self.lines)

    def said(self, pattern, since=0):
        """The first line that matches, as (time, match), or None."""
        for when, text in self.lines[since:]:
            match = re.search(pattern, text)
            if match:
                return when, match
        return None

    def count(self, pattern, since=0):
        return sum(1 for _, text in self.lines[since:] if re.search(pattern, text))

    def wait_line(self, pattern, timeout=10, since=0):
        return wait_until(lambda: self.said(pattern, since), timeout, lambda: f'/{pattern}/ in:\n{self.tail()}', 0.002)

    def connected(self, timeout=10, since=0):
        """The id and the server of the connection; waited for."""
        _, match = self.wait_line(r'^event connected fresh=(\d) timeout=(-?\d+) id=(\w+) (\S+)', timeout, since)
        return match[3], match[4]
