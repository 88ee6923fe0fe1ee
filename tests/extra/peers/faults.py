"""The faults, each for the node at work. T is the peer's session timeout (or what comes closest)."""

import signal
import time


def _wait(seconds):
    """Lets the fault last: nothing is awaited, time is what the case is about."""
    time.sleep(seconds)


class Fault:
    """inject, watch for a while, undo, watch again. `needed`: the role has to move."""

    def __init__(self, name, title, inject, undo=None, watch=0.0, watch_t=0.0, after=0.0, needed=True, alone=False):
        """watch + watch_t * T: seconds before undo; after: seconds after it. alone: milliseconds count, so that no other
        peer is busy meanwhile."""
        self.name, self.title, self.inject, self.undo = name, title, inject, undo
        self.watch, self.watch_t, self.after, self.needed, self.alone = watch, watch_t, after, needed, alone

    def concerns(self, peer):
        """Whether there is such a thing for a peer."""
        if self.name == 'leader':
            return peer.uses_zookeeper
        if self.name.endswith('-all'):
            return not peer.one_process
        return self.name != 'reload' or peer.reload is not None

    def last(self, peer):
        _wait(self.watch + self.watch_t * peer.timeout_s)

    def mend(self, peer, agent, network):
        """Undone, and watched for a little longer."""
        if self.undo:
            self.undo(peer, agent, network)
            _wait(self.after)


def _send(number, everything=False):
    return lambda peer, agent, network: agent.send(number, everything)


def _cut(peer, agent, network):
    for other in peer.reaches(agent):
        network.cut(agent.host, other)


def _mend(peer, agent, network):
    for other in peer.reaches(agent):
        network.mend(agent.host, other)


def _lose_host(peer, agent, network):
    """As a power cut: no connection is closed, nothing is said."""
    _cut(peer, agent, network)
    agent.close()


FAULTS = [
    Fault('switchover', 'planned switchover', lambda peer, agent, network: peer.switchover(agent), watch=4, alone=True),
    Fault('reload', 'configuration reloaded', lambda peer, agent, network: peer.reload(agent), watch=3, needed=False,
          alone=True),
    Fault('upgrade', 'agent upgraded', lambda peer, agent, network: peer.upgrade(agent), watch=5, needed=False,
          alone=True),
    Fault('restart', 'agent killed, restarted at once', lambda peer, agent, network: agent.restart(), watch=1,
          watch_t=1.75, needed=False),
    Fault('kill', 'agent killed, not restarted', lambda peer, agent, network: agent.kill(), watch=2, watch_t=1.5),
    Fault('kill-all', 'all its processes killed', lambda peer, agent, network: agent.kill(True), watch=2, watch_t=1.5),
    Fault('stop', 'agent stopped for 3 T', _send(signal.SIGSTOP), _send(signal.SIGCONT), watch_t=3, after=3),
    Fault('stop-all', 'all its processes stopped for 3 T', _send(signal.SIGSTOP, True), _send(signal.SIGCONT, True),
          watch_t=3, after=3),
    Fault('cut', 'cut off for 3 T', _cut, _mend, watch_t=3, after=4),
    Fault('cable', 'cable pulled for 3 T', lambda peer, agent, network: network.link(agent.host, False),
          lambda peer, agent, network: network.link(agent.host, True), watch_t=3, after=4),
    Fault('host', 'its host lost', _lose_host, _mend, watch=2, watch_t=1.5),
    Fault('leader', 'leading ZooKeeper server killed', None, watch=2, watch_t=1.5, needed=False),
]
