"""primaryd-http as its socket starts it, and requests of it."""

import http.client
import os
import socket

from . import process
from .node import program
from .ports import free_port


class Endpoint:
    """What answers for a node. A context manager."""

    def __init__(self, node, page=None):
        self.page = page or node.page
        self.port = free_port()
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(('127.0.0.1', self.port))
        listening.listen(128)
        fd = listening.fileno()
        # As systemd hands it over: descriptor 3, of this very process.
        script = f'exec 3<&{fd}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        argv = ['bash', '-c', script, 'sh', program('http/primaryd-http'), '--page', self.page]
        self.child = process.spawn(argv, pass_fds=[fd])
        listening.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        process.kill(self.child)

    def ask(self, path='/', method='GET', **headers):
        """(code, headers, text)"""
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=10)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.headers, text

    def code(self, path='/', method='GET'):
        return self.ask(path, method)[0]

    def raw(self, data):
        """What comes to these bytes, up to the end of the connection."""
        with socket.create_connection(('127.0.0.1', self.port), 10) as connection:
            connection.sendall(data)
            received = b''
            try:
                while chunk := connection.recv(65536):
                    received += chunk
            except ConnectionResetError:
                pass
        return received

    def metrics(self):
        """{name{labels}: value}"""
        return {name: float(value) for name, value in (line.rsplit(' ', 1) for line in self.ask('/metrics')[2].splitlines()
                                                       if not line.startswith('#'))}
