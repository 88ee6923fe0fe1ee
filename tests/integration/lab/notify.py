"""What a service manager hears from the daemons that it started."""

import re
import socket

from .wait import wait_until


class Manager:
    """The socket that a service manager listens on."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(path)
        self.heard = []

    def messages(self):
        """All so far, each a list of lines."""
        while True:
            try:
                self.heard.append(self.socket.recv(4096).decode().splitlines())
            except BlockingIOError:
                return self.heard

    def wait(self, pattern, since=0, timeout=20):
        """The first message from `since` on with a line that matches; returns (its number, the line)."""
        def find():
            for number, lines in enumerate(self.messages()[since:], since):
                for line in lines:
                    if re.search(pattern, line):
                        return number, line
            return None
        return wait_until(find, timeout, lambda: f'/{pattern}/ in {self.heard[since:]}', 0.01)

    def count(self, line):
        return sum(line in lines for lines in self.messages())
