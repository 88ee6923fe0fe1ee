"""zkh_tool's shell as an object: commands in, numbered lines out."""

import re
import signal
import subprocess
import threading

from lab.node import program
from lab.wait import Timeout, wait_until

TOOL = program('tests/integration/zkh_tool')


class Tool:
    """One process with one session. A context manager: at its end the process must leave in good order."""

    def __init__(self, connect, root, session_timeout_ms=6000, options=(), wait=True):
        argv = ['setpriv', '--pdeathsig', 'KILL', '--', TOOL, '--servers', connect, '--root', root,
                '--session-timeout', str(session_timeout_ms), *options, 'shell']
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.lines = []
        self.commands = 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if wait:
            self.wait_line(r'^session connected')

    def _read(self):
        for line in self.child.stdout:
            self.lines.append(line.rstrip('\n'))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.stdin.close()
        try:
            self.child.wait(10 if kind is None else 1)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            if kind is None:
                raise Timeout(f'zkh_tool did not end: {self.lines[-20:]}') from None
        self.reader.join(5)
        complaints = [line for line in self.lines
                      if re.search(r'Sanitizer|runtime error|Assertion|LeakSanitizer', line)]
        assert not complaints, '\n'.join(self.lines)

    def send(self, *words):
        """Gives a command; returns its number."""
        self.commands += 1
        self.child.stdin.write(' '.join(map(str, words)) + '\n')
        self.child.stdin.flush()
        return self.commands

    def said(self, pattern, since=0):
        """The first match among the lines, or None."""
        for line in self.lines[since:]:
            match = re.search(pattern, line)
            if match:
                return match
        return None

    def wait_line(self, pattern, timeout=15, since=0):
        return wait_until(lambda: self.said(pattern, since), timeout,
                          lambda: f'/{pattern}/ in {self.lines[-20:]}', 0.002)

    def wait_pending(self, count):
        """Until it says that so many lock nodes are still to be removed."""
        since = len(self.lines)

        def asked():
            self.send('pending')
            return self.said(f'^pending {count}$', since)
        wait_until(asked, 15, lambda: f'pending {count} in {self.lines[-20:]}', 0.05)

    def outcome(self, number, timeout=15):
        """What a command came to, e.g. 'ZKH_OK' or 'ZKH_CONFLICT /path'; waited for."""
        match = self.wait_line(rf'^{number} (?:refused )?((?:ZKH|errno).*)', timeout)
        return match[1].strip()

    def sync(self):
        """Lets the tool's server, which may lag behind, catch up with what others wrote."""
        self.outcome(self.send('sync'))

    def do(self, *words, timeout=60):
        """A command and its outcome."""
        self.sync()
        return self.outcome(self.send(*words), timeout)

    def lock(self, kind='exclusive', path='/lock', timeout_ms=None):
        """Asks for a lock; returns the command's number."""
        return self.send('lock', kind, path, *(() if timeout_ms is None else ('--timeout', timeout_ms)))

    def held(self, number, timeout=15):
        """The path of the lock's node and its token, once it is acquired."""
        outcome = self.outcome(number, timeout).split()
        assert outcome[0] == 'ZKH_OK', outcome
        return outcome[1], int(outcome[2])

    def release(self, number):
        self.send('release', number)
        self.wait_line(rf'^{number} released')

    def lines_of(self, number):
        return [line for line in self.lines if line.startswith(f'{number} ')]
