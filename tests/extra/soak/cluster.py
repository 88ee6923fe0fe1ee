"""What the soak breaks: servers that can be isolated, nodes behind proxies, work that is real."""

import os
import shutil
import signal

from lab import process, view, zk
from lab.node import Node
from lab.work import behave, find_guards, read_work, worker, working

ROOT = '/soak'
TICK_MS = 100
TIMEOUTS = (1, 1, 1.5, 1, 0.75)  # of the nodes, as shares of the session timeout


def config_for(session_s):
    """As tight as the session allows."""
    lease_ms = int((session_s / 3 - max(0.05, session_s / 100)) * 1000)
    return {
        'zookeeper.session-timeout': f'{int(session_s * 1000)}ms',
        'relinquish.lease-timeout': f'{lease_ms}ms',
        'relinquish.timeout': '3s',
        'takeover.timeout': '2s',
        'election.lock-timeout': '300ms',
        'election.transition-delay': '350ms',
        'election.handover-timeout': '1500ms',
        'election.penalty': '1s',
        'fence.timeout': '1s',
    }


class Member(Node):
    """A node whose work is a process."""

    def __init__(self, number, ensemble, directory, event_log, session_s):
        links = zk.ClientLinks(ensemble)
        session_s *= TIMEOUTS[number % len(TIMEOUTS)]
        super().__init__(f'n{number}', links.connect, ROOT, directory, event_log, config_for(session_s), links=links)
        self.broken = set()  # kinds of trouble that are on, so that a second one of a kind waits for its end
        self.expected_end = False
        self.worker = worker(self)
        self.behave('takeover')
        self.behave('relinquish')
        self.write_config(**{'fence.command': self.behave('fence')})

    def behave(self, event, before=''):
        """See lab.work.behave()."""
        return behave(self, event, before)

    def guards(self):
        """Pids of its guards."""
        return find_guards(self)

    def keep_state(self, possible):
        """Something else takes the place of the file that the state is written to."""
        obstacle = f'{self.runtime_directory}/state.new/obstacle'
        if possible:
            shutil.rmtree(os.path.dirname(obstacle), ignore_errors=True)
        elif not os.path.exists(obstacle):
            try:
                os.makedirs(obstacle)
            except OSError:  # just written
                return False
        return True

    def start(self, environment=None):
        self.expected_end = False
        return super().start(environment)

    def heal(self):
        for event in ('takeover', 'relinquish', 'fence'):
            self.behave(event)
        self.links.set_delay(0)
        self.keep_state(True)
        for proxy in self.links.proxies:
            if proxy.mode != 'pass':
                proxy.set_mode('pass')
        if self.running():
            self.sigcont()
        else:
            self.start()
        self.broken.clear()


class Cluster:
    def __init__(self, directory, nodes, session_s):
        self.directory = directory
        self.event_log = os.path.join(directory, 'events')
        self.session_s = session_s
        self.ensemble = zk.Ensemble(3, tick_ms=TICK_MS, isolate=True, directory=directory)
        self.members = []
        self.client = None
        self.keys = None
        self.size = nodes

    def start(self):
        self.ensemble.start()
        self.client = view.connect(self.ensemble.connect)
        self.keys = view.View(self.client, ROOT)
        for number in range(1, self.size + 1):
            self.members.append(Member(number, self.ensemble, self.directory, self.event_log, self.session_s))
        for member in self.members:
            member.start()

    def close(self):
        for member in self.members:
            member.close()
        if self.client:
            self.client.stop()
            self.client.close()
        self.ensemble.close()

    def primary(self):
        """The member whose work runs, as its processes show; None if none does."""
        for member in self.members:
            if member.name in self.working():
                return member
        return None

    def working(self):
        return working(read_work(self.event_log))

    def heal(self):
        """Everything is repaired; what happens next is up to the daemons."""
        self.ensemble.heal()
        self.ensemble.set_delay(0)
        for server in self.ensemble.servers:
            if server.running() and server.stopped:
                server.sigcont()
            if not server.running():
                server.start()
        for member in self.members:
            member.heal()
        self.keys.delete('maintenance')
        for member in self.members:
            self.keys.delete(f'nodes/{member.name}/drain')

    def leftovers(self):
        return [process.describe(pid) for member in self.members for pid in member.processes()]

    def stop_all(self, timeout=30.0):
        """SIGTERM to all; [(member, exit code)] of those that did not end with 0."""
        for member in self.members:
            if member.running():
                member.expected_end = True
                member.child.send_signal(signal.SIGTERM)
        return [(member.name, code) for member in self.members
                if member.child and (code := process.reap(member.child, timeout)) != 0]
