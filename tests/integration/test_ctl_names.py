"""Servers given as names, with name servers that are silent or slow: a mount namespace with a resolv.conf of its own."""

import os
import random
import socket
import subprocess
import threading

import pytest

from ctl_shell import UNREACHABLE, Ctl, built, environment

pytestmark = [
    pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built'),
    pytest.mark.skipif(os.geteuid() != 0, reason='only root may mount, and listen on port 53'),
]


class NameServer:
    """Says 127.0.0.1 to whatever it is asked for (A), or nothing at all."""

    def __init__(self, silent):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = f'127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(2, 254)}'
        self.socket.bind((self.address, 53))
        if not silent:
            threading.Thread(target=self.answer, daemon=True).start()

    def answer(self):
        while True:
            try:
                query, asker = self.socket.recvfrom(512)
            except OSError:
                return
            end = query.index(0, 12) + 5
            is_a = query[end - 4:end - 2] == b'\0\1'
            head = query[:2] + b'\x81\x80\0\1' + (b'\0\1' if is_a else b'\0\0') + bytes(4)
            record = b'\xc0\x0c\0\1\0\1' + bytes(4) + b'\0\4\x7f\0\0\1' if is_a else b''
            self.socket.sendto(head + query[12:end] + record, asker)

    def close(self):
        self.socket.close()


@pytest.fixture
def name_server():
    made = []

    def make(silent=False):
        made.append(NameServer(silent))
        return made[-1].address
    yield make
    for server in made:
        server.close()


@pytest.fixture
def ask(tmp_path, root):
    """Lists the keys, with these name servers; the whole of what was said and the exit code."""
    def run(servers, name_servers, *options):
        conf = tmp_path / 'resolv.conf'
        conf.write_text(''.join(f'nameserver {address}\n' for address in name_servers))
        ctl = Ctl(servers, root, *options)
        script = f'mount --bind {conf} /etc/resolv.conf && exec "$@"'
        return subprocess.run(['unshare', '--mount', 'sh', '-c', script, 'sh', *ctl.argv('key', 'set', '/a=1')], timeout=60,
                              capture_output=True, text=True, env=environment(), check=False)
    return run


def port(ensemble):
    return ensemble.connect.split(',')[0].rpartition(':')[2]


def test_name(ensemble, name_server, ask):
    done = ask(f'zk.example:{port(ensemble)}', [name_server()])
    assert done.returncode == 0, done.stderr


def test_a_name_that_hangs_keeps_no_other_server_up(ensemble, name_server, ask):
    done = ask(f'zk.example:2181,127.0.0.1:{port(ensemble)}', [name_server(silent=True)], '--timeout', '20s')
    assert done.returncode == 0, done.stderr


def test_first_name_server_is_dead(ensemble, name_server, ask):
    # Each look-up takes the 5 s after which the resolver tries the second one.
    servers = ','.join(f'zk{n}.example:{port(ensemble)}' for n in range(3))
    done = ask(servers, [name_server(silent=True), name_server()], '--timeout', '20s')
    assert done.returncode == 0, done.stderr


def test_told_when_names_hang(name_server, ask):
    done = ask('zk.example:2181', [name_server(silent=True)], '--timeout', '500ms')
    assert done.returncode == UNREACHABLE and 'lookup' in done.stderr
