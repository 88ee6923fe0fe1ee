"""An ensemble that speaks TLS only, with client certificates; tunnels as primaryd configures them; and impostors."""

import os
import re
import shutil
import ssl
import socket
import subprocess
import threading

from . import process, zk
from .node import program
from .wait import wait_until

MORE_JARS = ''.join(f':/usr/share/java/{name}.jar' for name in (
    'netty-codec', 'netty-resolver', 'netty-transport-native-unix-common', 'netty-handler', 'netty-transport',
    'netty-buffer', 'netty-common', 'netty-transport-native-epoll'))


def available():
    """None, or what is missing."""
    if os.geteuid() != 0:
        return 'needs root, for the port of the tunnel'
    for tool in ('stunnel', 'openssl'):
        if not shutil.which(tool):
            return f'needs {tool} (tests/packages.sh system)'
    if not os.path.exists('/usr/share/java/netty-handler.jar'):
        return 'needs libnetty-java'
    return None


def _openssl(*arguments):
    subprocess.run(['openssl', *arguments], check=True, capture_output=True)


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory)
        self.ca = os.path.join(directory, 'ca.pem')
        _openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                 '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-subj', '/CN=test authority',
                 '-keyout', f'{directory}/ca.key', '-out', self.ca)

    def issue(self, name, alternative='IP:127.0.0.1,DNS:localhost', days=2):
        """(certificate, key, both in one file). With days=0 it has expired a moment later."""
        base = os.path.join(self.directory, name)
        _openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', f'/CN={name}',
                 '-keyout', f'{base}.key', '-out', f'{base}.csr')
        with open(f'{base}.ext', 'w', encoding='ascii') as file:
            file.write(f'subjectAltName={alternative}\n'
                       'authorityKeyIdentifier=keyid\n')  # Python from 3.13 wants it, and the authority's keyUsage
        _openssl('x509', '-req', '-in', f'{base}.csr', '-CA', self.ca, '-CAkey', f'{self.directory}/ca.key',
                 '-CAcreateserial', '-days', str(days), '-extfile', f'{base}.ext', '-out', f'{base}.crt')
        with open(f'{base}.pem', 'w', encoding='ascii') as file:
            for part in ('key', 'crt'):
                with open(f'{base}.{part}', encoding='ascii') as one:
                    file.write(one.read())
        return f'{base}.crt', f'{base}.key', f'{base}.pem'


class Server(zk.Server):
    """Its port is a TLS port; there is no other."""

    authority = None

    def configure(self, peers=()):
        _, _, both = self.authority.issue(f'zk{self.number}')
        self.extra.update({
            'secureClientPort': self.port, 'secureClientPortAddress': self.address,
            'serverCnxnFactory': 'org.apache.zookeeper.server.NettyServerCnxnFactory',
            'ssl.keyStore.location': both, 'ssl.keyStore.type': 'PEM',
            'ssl.trustStore.location': self.authority.ca, 'ssl.trustStore.type': 'PEM',
            'ssl.clientAuth': 'need', 'ssl.hostnameVerification': 'false',
        })
        super().configure(peers)
        path = os.path.join(self.directory, 'zoo.cfg')
        with open(path, encoding='ascii') as file:
            lines = [line for line in file if not line.startswith(('clientPort=', 'clientPortAddress='))]
        with open(path, 'w', encoding='ascii') as file:
            file.writelines(lines)

    def start(self):
        jars = zk.JARS
        zk.JARS = jars + MORE_JARS
        try:
            super().start()
        finally:
            zk.JARS = jars

    def four(self, word, timeout=1.0):
        crt, key, _ = self.authority.probe
        context = ssl.create_default_context(cafile=self.authority.ca)
        context.load_cert_chain(crt, key)
        try:
            with socket.create_connection((self.address, self.port), timeout) as sock:
                with context.wrap_socket(sock, server_hostname=self.address) as tls:
                    tls.sendall(word.encode())
                    return b''.join(iter(lambda: tls.recv(65536), b'')).decode(errors='replace')
        except OSError:
            return ''


def ensemble(directory):
    """Three servers; their authority is at ensemble.authority."""
    authority = Authority(os.path.join(directory, 'tls'))
    authority.probe = authority.issue('probe')
    plain = zk.Server
    Server.authority = authority
    zk.Server = Server
    try:
        made = zk.Ensemble(3)
    finally:
        zk.Server = plain
    made.start()
    made.authority = authority
    return made


class Impostor:
    """Listens at localhost:PORT, and shows a certificate that no client may accept; `certificate` None: stays silent."""

    def __init__(self, certificate):
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.connect = f'localhost:{self.socket.getsockname()[1]}'
        self.silent, self.answered = [], []
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate[:2])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            if not self.context:
                self.silent.append(connection)
                continue
            try:
                with self.context.wrap_socket(connection, server_side=True) as secured:
                    self.answered.append(secured.recv(1000))
            except OSError:
                pass

    def close(self):
        self.socket.close()
        for connection in self.silent:
            connection.close()


class Tunnel:
    """stunnel as primaryd-tunnel.service runs it for a configuration."""

    def __init__(self, directory, config_path):
        self.config = os.path.join(directory, 'stunnel.conf')
        self.log_path = os.path.join(directory, 'stunnel.log')
        text = subprocess.run([program('daemon/primaryd'), '--config', config_path, '--tunnel-config'], check=True,
                              capture_output=True, text=True).stdout
        with open(self.config, 'w', encoding='ascii') as file:
            file.write(text)
        self.addresses = re.findall(r'^accept = (.*)$', text, re.M)
        self.start()

    connect = property(lambda self: ','.join(self.addresses))

    def start(self):
        with open(self.log_path, 'ab') as log:
            self.child = process.spawn(['stunnel', self.config], stdout=log, stderr=log)
        for address in self.addresses:
            wait_until(lambda address=address: self._listens(address), 10, self.log_text)

    def _listens(self, address):
        host, port = address.split(':')
        with open('/proc/net/tcp', encoding='ascii') as file:
            wanted = f'{socket.inet_aton(host)[::-1].hex().upper()}:{int(port):04X}'
            return any(line.split()[1] == wanted and line.split()[3] == '0A' for line in file.readlines()[1:])

    def log_text(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as file:
            return file.read()

    def kill9(self):
        process.kill(self.child)

    def close(self):
        process.kill(self.child)
