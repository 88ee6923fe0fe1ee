"""What a broken or hostile server sends is bounded and checked before the library sees it."""

import os
import socket
import struct
import time

import pytest

from lab import process
from lab.wait import stays, wait_until
from zkh_probe_shell import PROBE, Probe
from zkh_stranger import Stranger, greeting, receive, reply, requests

pytestmark = pytest.mark.skipif(not os.access(PROBE, os.X_OK), reason='zkh_probe is not built')

SESSION_MS = 4000


def memory_kib(pid, key='VmHWM'):
    return int(process.status_of(pid)[key][0])


def talk(sock, *chunks):
    """Sends all of it, and stays."""
    for chunk in chunks:
        sock.sendall(chunk)
    receive(sock)


def refused(on_connect, message, event='server not reached'):
    """A client that meets such a server says so, lives, tries again, and takes its time."""
    with Stranger(on_connect) as stranger, Probe(stranger.connect, SESSION_MS) as probe:
        probe.wait_line(f'^event {event}.*{stranger.connect}: {message}')
        wait_until(lambda: probe.count(f'^event {event}') >= 2, 10, probe.tail)
        assert probe.child.poll() is None
        assert memory_kib(probe.child.pid) < 32 * 1024
        mark = stranger.connections
        stays(lambda: stranger.connections - mark < 40, 1.0, probe.tail)


@pytest.mark.parametrize('timeout_ms', [-1, 0, -2**31, 2**31 - 1])
def test_session_timeout(timeout_ms):
    refused(lambda sock, *_: talk(sock, greeting(timeout_ms)), f'granted an absurd session timeout of {timeout_ms} ms')


@pytest.mark.parametrize('length', [-1, 0, 35, 38, 2**31 - 1])
def test_first_packet(length):
    refused(lambda sock, *_: talk(sock, greeting(4000, length=length)), f'is not a ZooKeeper server: .* {length} bytes')


def test_no_zookeeper_server():
    refused(lambda sock, *_: talk(sock, b'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'), 'is not a ZooKeeper server')


def test_session_without_an_id():
    refused(lambda sock, *_: talk(sock, greeting(4000, session=0)), 'granted a session without an id')


@pytest.mark.parametrize('length', [-1, 0, 15, 2**24 + 1, 2**31 - 1])
def test_claimed_length(length):
    def huge(sock, *_):
        sock.sendall(greeting(4000))
        sock.sendall(reply(-1, length=length))
        while length > 2**24:
            sock.sendall(bytes(1 << 20))
        receive(sock)
    refused(huge, f'sent a packet that claims to have {length} bytes', 'disconnected')


def test_answer_without_a_request():
    refused(lambda sock, *_: talk(sock, greeting(4000), reply(0x1234)), 'answered a request that was never made', 'disconnected')


def test_head_in_pieces():
    """Each byte by itself: nothing is taken for a fault, and nobody turns round for it."""
    def pieces(sock, *_):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in greeting(4000):
            sock.sendall(bytes([byte]))
            time.sleep(0.005)  # part of what the server does
        for xid, kind, _ in requests(sock):
            path = struct.pack('>i', 2) + b'/x' if kind == 9 else b''
            for byte in reply(xid, path, zxid=0x123456789):
                sock.sendall(bytes([byte]))
                time.sleep(0.02)
    with Stranger(pieces) as stranger, Probe(stranger.connect, SESSION_MS) as probe:
        probe.connected()
        probe.send('sync')
        probe.wait_line('^sync ok')
        probe.send('zxid')
        probe.wait_line('^zxid 123456789 123456789$')
        with open(f'/proc/{probe.child.pid}/stat', encoding='ascii') as file:
            ticks = sum(map(int, file.read().rpartition(')')[2].split()[11:13]))
        assert ticks < 10, f'{ticks} ticks'


def test_end_within_a_head():
    def end(sock, *_):
        sock.sendall(greeting(4000)[:7])
    refused(end, 'connection')


def test_end_within_the_head_of_a_reply():
    def end(sock, *_):
        sock.sendall(greeting(4000) + reply(-1)[:7])
    refused(end, 'connection', 'disconnected')
