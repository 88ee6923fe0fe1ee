"""A server by script, for what no ZooKeeper server does: it speaks as much of the protocol as a test tells it to."""

import socket
import struct
import threading

PASSWORD = b'a-password-of-16'


def packet(data, length=None):
    """Bytes with their length, or with another one, before them."""
    return struct.pack('>i', len(data) if length is None else length) + data


def greeting(timeout_ms, session=0x77, length=None):
    return packet(struct.pack('>iiqi', 0, timeout_ms, session, len(PASSWORD)) + PASSWORD + b'\0', length)


def reply(xid, data=b'', zxid=1, error=0, length=None):
    return packet(struct.pack('>iqi', xid, zxid, error) + data, length)


class Stranger:
    """Listens on a port of its own. on_connect(connection, zxid, session) runs in a thread for each client that sent its
    request for a session; connection.requests() then yields (xid, type, rest). A context manager."""

    def __init__(self, on_connect):
        self.on_connect = on_connect
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.connect = f'127.0.0.1:{self.listener.getsockname()[1]}'
        self.connections = 0
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in [self.listener, *self.open]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            request = receive(sock)
            _, zxid, _, session = struct.unpack('>iqiq', request[:24])
            self.on_connect(sock, zxid, session)
        except (OSError, EOFError):
            pass
        finally:
            sock.close()


def receive(sock):
    """The next packet, without its length."""
    def exactly(count):
        data = b''
        while len(data) < count:
            more = sock.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data
    return exactly(struct.unpack('>i', exactly(4))[0])


def requests(sock):
    """(xid, type, rest) of each request; pings are answered."""
    while True:
        data = receive(sock)
        xid, kind = struct.unpack('>ii', data[:8])
        if xid == -2:
            sock.sendall(reply(-2))
        else:
            yield xid, kind, data[8:]
