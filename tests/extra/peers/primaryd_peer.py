"""primaryd itself: three coordinators with commands as their work.

The configuration is the one of tests/demo: T = 4 s, of which the lease leaves 1 s for stopping the work; all delays
are the defaults. The work is started by takeover.command and stopped by relinquish.command.
"""

import subprocess

from lab.node import Node, SYSTEMD_VARIABLES, program
from lab.view import View
from lab.work import find_guards

from peer import Agent, Peer


class PrimarydAgent(Agent):
    def __init__(self, peer, host, number):
        super().__init__(peer, host, number)
        self.node = Node(self.name, peer.ensemble.connect, peer.root, peer.directory, peer.work_log, {
            'zookeeper.session-timeout': '4s',
            'relinquish.lease-timeout': '1s',
            'takeover.command': ' '.join(self.work('start')),
            'relinquish.command': ' '.join(self.work('stop')),
        }, host=host)

    def argv(self):
        return [program('daemon/primaryd'), '--config', self.node.config_path]

    def environment(self):
        return {key: value for key, value in super().environment().items() if key not in SYSTEMD_VARIABLES}

    def helpers(self):
        return find_guards(self.node)


class Primaryd(Peer):
    name = 'primaryd'
    title = 'primaryd'
    root = '/primaryd'
    Agent = PrimarydAgent

    @classmethod
    def version(cls):
        argv = [program('daemon/primaryd'), '--version']
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[-1]

    def standing_by(self, agent):
        view = View(self.observer, self.root)
        return view.state(agent.name) == 'secondary' and view.get(f'nodes/{agent.name}/alive') is not None

    def switchover(self, agent):
        subprocess.run(agent.host.wrap([program('ctl/primaryctl'), '--config', agent.node.config_path, 'switchover']),
                       check=True, capture_output=True, timeout=30)

    def upgrade(self, agent):
        # What the package's postinst does: the daemon executes the new binary.
        self.reload(agent)
