"""Patroni with PostgreSQL 15, its leader key in the same ZooKeeper; the work is the database: it runs while it takes writes.

Fair to it: the shortest ttl its documentation allows (20 s: T is five times that of the others), with loop_wait and
retry_timeout at 5 s, so that loop_wait + 2 retry_timeout <= ttl; asynchronous replication and pg_rewind as in its
examples. The watchdog is `automatic`, its default, and finds no device in a namespace's machine without one: its
documentation has one set up for the very case of an agent that hangs or dies. An upgrade is done under `patronictl
pause`, as for maintenance. What is asked for the work is the database's own answer, on each node (query.py).
"""

import json
import os
import shutil
import subprocess

from lab import process
from lab.wait import Timeout

from peer import Agent, Peer, package_version

QUERY = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'query.py')
BIN = '/usr/lib/postgresql/15/bin'
SCOPE = 'peers'


class PatroniAgent(Agent):
    def __init__(self, peer, host, number):
        super().__init__(peer, host, number)
        self.config_path = os.path.join(self.directory, 'patroni.yml')
        self.sockets = os.path.join(self.directory, 'sockets')
        self.query = None
        os.makedirs(self.sockets)
        for path in (self.directory, self.sockets):
            shutil.chown(path, 'postgres', 'postgres')
        with open(self.config_path, 'w', encoding='ascii') as file:
            json.dump(self.config(), file, indent=1)  # which is YAML as well

    def config(self):
        address = self.host.address
        return {
            'scope': SCOPE, 'name': self.name,
            'restapi': {'listen': f'{address}:8008', 'connect_address': f'{address}:8008'},
            'zookeeper': {'hosts': self.peer.ensemble.connect.split(',')},
            'bootstrap': {
                'dcs': {'ttl': 20, 'loop_wait': 5, 'retry_timeout': 5, 'maximum_lag_on_failover': 1048576,
                        'postgresql': {'use_pg_rewind': True, 'use_slots': True}},
                'initdb': [{'encoding': 'UTF8'}, 'data-checksums', {'auth': 'trust'}],
            },
            'postgresql': {
                'listen': f'{address}:5432', 'connect_address': f'{address}:5432', 'bin_dir': BIN,
                'data_dir': os.path.join(self.directory, 'data'), 'pgpass': os.path.join(self.directory, 'pgpass'),
                'remove_data_directory_on_rewind_failure': True, 'remove_data_directory_on_diverged_timelines': True,
                'authentication': {'superuser': {'username': 'postgres', 'password': 'p'},
                                   'replication': {'username': 'replicator', 'password': 'p'}},
                'pg_hba': ['local all all trust', 'host all all 10.77.0.0/16 trust',
                           'host replication all 10.77.0.0/16 trust'],
                'parameters': {'unix_socket_directories': self.sockets, 'shared_buffers': '32MB', 'max_connections': 20},
            },
        }

    def argv(self):
        return ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', '--pdeathsig=KILL', '--', 'patroni',
                self.config_path]

    def start(self):
        super().start()
        if self.query is None or self.query.poll() is not None:
            with open(self.log_path, 'ab') as log:
                self.query = process.spawn(['/usr/bin/python3', QUERY, self.sockets, self.name, self.peer.work_log], stdout=log,
                                           stderr=log)

    def revive(self):
        self.start()  # it finds its database running

    def ctl(self, *words):
        subprocess.run(self.host.wrap(['patronictl', '-c', self.config_path, *words]), check=True, capture_output=True, timeout=60)

    def is_replica(self):
        """What the agent says of its database."""
        try:
            with self.host.socket() as sock:
                sock.settimeout(2)
                sock.connect((self.host.address, 8008))
                sock.sendall(b'GET /replica HTTP/1.0\r\n\r\n')
                return b' 200 ' in sock.recv(100)
        except OSError:
            return False

    def close(self):
        super().close()
        if self.query:
            process.kill(self.query)


class Patroni(Peer):
    name = 'patroni'
    title = 'Patroni'
    package = 'patroni'
    timeout_s = 20.0
    calm_s = 40.0
    one_process = True
    Agent = PatroniAgent

    @classmethod
    def version(cls):
        return package_version('patroni')

    def standing_by(self, agent):
        return agent.is_replica() and agent.name in self.streaming()

    def streaming(self):
        """Names of the nodes that replicate from the one at work."""
        names = []
        for primary in self.at_work():
            query = "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'"
            done = subprocess.run(['psql', '-h', self.agents[primary].sockets, '-U', 'postgres', '-Atc', query], check=False,
                                  capture_output=True, text=True, timeout=10)
            names += done.stdout.split()
        return names

    def settle(self):
        """Two primaries leave histories that do not always fit together again: as an operator would, after a while."""
        try:
            return super().settle()
        except Timeout:
            for agent in self.agents.values():
                if agent.name not in self.at_work() and not self.standing_by(agent):
                    agent.ctl('reinit', SCOPE, agent.name, '--force')
            return super().settle()

    def switchover(self, agent):
        agent.ctl('switchover', SCOPE, '--leader', agent.name, '--force')

    def upgrade(self, agent):
        agent.ctl('pause', SCOPE, '--wait')
        agent.terminate()
        agent.start()
        agent.ctl('resume', SCOPE, '--wait')
