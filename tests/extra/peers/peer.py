"""What all peers have in common: three nodes, each an agent on a host (network namespace) of its own, and work that beats.

A peer's own file says how it is configured, and why that is fair to it. `agent` is the process that decides.
"""

import os
import signal
import subprocess

from lab import process
from lab.node import program
from lab.wait import boottime_ns, wait_until

import measure

FRESH_NS = 100_000_000
TAIL = 16384  # bytes of the log that surely reach back so far


def package_version(name):
    """The upstream part of a Debian package's version."""
    done = subprocess.run(['dpkg-query', '-W', '-f', '${source:Upstream-Version}', name], check=True, capture_output=True, text=True)
    return done.stdout


class Agent:
    """One node's agent. argv() is what is executed; a child of ours, as of a service manager."""

    def __init__(self, peer, host, number):
        self.peer, self.host, self.number = peer, host, number
        self.name = host.name
        self.directory = os.path.join(peer.directory, self.name)
        self.log_path = os.path.join(self.directory, 'log')
        self.child = None
        os.makedirs(self.directory, mode=0o755)

    def argv(self):
        raise NotImplementedError

    def environment(self):
        return {**os.environ, 'PRIMARYD_LAB': self.directory}

    def start(self):
        with open(self.log_path, 'ab') as log:
            self.child = process.spawn(self.host.wrap(self.argv()), stdout=log, stderr=log, env=self.environment())

    def revive(self):
        """Started again after a fault, without the work that it left behind if nobody ended it."""
        self.close()
        self.start()

    def running(self):
        return self.child is not None and self.child.poll() is None

    def deciding(self):
        """Pids of the process, or processes, without which nothing is decided on this node."""
        return [self.child.pid]

    def helpers(self):
        """Pids of what else belongs to the agent, and is not the work."""
        return []

    def send(self, number, everything=False):
        for pid in self.deciding() + (self.helpers() if everything else []):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self, everything=False):
        """SIGKILL of what a service manager calls the main process; or of all its processes."""
        if everything:
            self.send(signal.SIGKILL, True)
        process.kill(self.child)

    def restart(self):
        """As a service manager does when the main process was killed: once the rest of it is gone."""
        rest = [pid for pid in self.deciding() if pid != self.child.pid]
        self.kill()
        wait_until(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in rest), 10, 'the rest goes')
        self.start()

    def terminate(self, timeout=30.0):
        self.child.send_signal(signal.SIGTERM)
        process.reap(self.child, timeout)

    def work(self, verb):
        """Command line of the work, see beat.c."""
        return [program('tests/extra/peers/beat'), '--log', self.peer.work_log, '--node', self.name,
                '--lock', os.path.join(self.directory, 'work'), verb]

    def sweep(self):
        """Ends what a former process of this agent left behind and nobody else will end. Between faults only."""

    def log_text(self):
        try:
            with open(self.log_path, encoding='utf-8', errors='replace') as file:
                return file.read()
        except FileNotFoundError:
            return ''

    def close(self):
        """Ends whatever is left of it, its work included."""
        if self.child:
            process.kill(self.child)
        for pid in process.find_processes(marker=self.directory):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Peer:
    """Three agents. Subclasses set the names below and override what they do otherwise."""

    name = ''
    package = ''  # what tests/packages.sh calls its packages
    calm_s = 60.0  # until all is well again after a fault
    timeout_s = 4.0  # after which a silent node counts as dead
    Agent = Agent
    uses_zookeeper = True
    one_process = False  # then what befalls the agent befalls all its processes

    def __init__(self, hosts, ensemble, directory):
        self.directory = os.path.join(directory, self.name)
        self.work_log = os.path.join(self.directory, 'work.log')
        self.ensemble = ensemble
        os.makedirs(self.directory, mode=0o755)
        self.agents = {host.name: self.Agent(self, host, number) for number, host in enumerate(hosts, 1)}

    @classmethod
    def version(cls):
        """Of the Debian package, or whatever names the version under test."""
        raise NotImplementedError

    # states

    def beats(self):
        try:
            with open(self.work_log, encoding='ascii', errors='replace') as file:
                return list(measure.parse_beats(file.read()))
        except FileNotFoundError:
            return []

    def at_work(self):
        """Nodes whose work runs at this moment."""
        since = boottime_ns() - FRESH_NS
        try:
            with open(self.work_log, 'rb') as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
                text = file.read().decode('ascii', 'replace')
        except FileNotFoundError:
            return set()
        return {node for node, _, at_ns in measure.parse_beats(text) if at_ns > since and node in self.agents}

    def standing_by(self, agent):
        """Whether a node would take over. Called for each that is not at work."""
        raise NotImplementedError

    def is_calm(self):
        """One works, all others stand by."""
        for agent in self.agents.values():
            agent.sweep()
        at_work = self.at_work()
        return len(at_work) == 1 and all(agent.running() and (agent.name in at_work or self.standing_by(agent))
                                         for agent in self.agents.values())

    def describe(self):
        tails = [f'--- {agent.name} {"runs" if agent.running() else "down"}\n' +
                 '\n'.join(agent.log_text().splitlines()[-12:]) for agent in self.agents.values()]
        return f'{self.name}: at work {sorted(self.at_work())}\n' + '\n'.join(tails)

    def settle(self):
        """Starts what does not run and waits until all is calm; returns who works."""
        for agent in self.agents.values():
            if not agent.running():
                agent.revive()
        wait_until(self.is_calm, self.calm_s, lambda: f'calm; {self.describe()}', 0.1)
        os.truncate(self.work_log, 0)
        wait_until(lambda: len(self.at_work()) == 1, 10, self.describe, 0.02)
        return self.agents[self.at_work().pop()]

    # what an operator does; None if there is no such thing

    def switchover(self, agent):
        """A planned one, away from this node."""
        raise NotImplementedError

    def reload(self, agent):
        """The configuration is read again."""
        agent.child.send_signal(signal.SIGHUP)

    def upgrade(self, agent):
        """The program on disk is a new one: what package or documentation do then."""
        agent.terminate()
        agent.start()

    def reaches(self, agent):
        """All hosts that a node has anything to do with."""
        others = [other.host for other in self.agents.values() if other is not agent]
        return others + [server.host for server in self.ensemble.servers]

    def close(self):
        for agent in self.agents.values():
            agent.close()
