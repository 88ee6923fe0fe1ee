"""keepalived: VRRP between three hosts on one bridge; no ZooKeeper.

Fair to it: VRRP's default interval of one second; priorities near the top, which make the next backup wait 3.07 s and
not 3.6 s (skew_time, keepalived.conf(5)), and far enough apart that two do not become master together; all start as BACKUP with nopreempt, as the manual demands for a role that does not go
back by itself; the work follows by vrrp_notify_fifo, since notify scripts run side by side and may overtake each other; the
address moves with it. A planned switchover and an upgrade are a stop of the service: it advertises priority 0, and the next
one takes over at once. After an upgrade it is started again, as Debian's package does. In the service, the main process
runs the VRRP process as its child; what is stopped is the VRRP process.
"""

import os
import subprocess

from lab.process import find_processes, parent_of, reap, spawn

from peer import Agent, Peer, package_version

ADDRESS = '10.77.0.250'

CONFIG = """global_defs {{
    router_id {name}
    vrrp_notify_fifo {fifo}
}}
vrrp_instance work {{
    state BACKUP
    nopreempt
    interface eth0
    virtual_router_id 77
    priority {priority}
    advert_int 1
    virtual_ipaddress {{
        {address}/24
    }}
}}
"""


# The work's own manager, not a part of keepalived: one state after the other.
FOLLOW = """exec 3<>{fifo}
while read -r _ _ state _ <&3; do
    case $state in
    MASTER) {start} ;;
    BACKUP | FAULT | STOP | DELETED) {stop} ;;
    esac
done
"""


class KeepalivedAgent(Agent):
    follower = None

    @property
    def fifo(self):
        return os.path.join(self.directory, 'fifo')

    def start(self):
        if self.follower is None:
            os.mkfifo(self.fifo)
        if self.follower is None or self.follower.poll() is not None:
            text = FOLLOW.format(fifo=self.fifo, start=' '.join(self.work('start')), stop=' '.join(self.work('stop')))
            self.follower = spawn(['sh', '-c', text])
        super().start()

    def argv(self):
        path = os.path.join(self.directory, 'keepalived.conf')
        with open(path, 'w', encoding='ascii') as file:
            file.write(CONFIG.format(name=self.name, priority=270 - 16 * self.number, address=ADDRESS,
                                     fifo=self.fifo))
        files = {'--use-file': path, '--pid': 'main.pid', '--vrrp_pid': 'vrrp.pid'}
        return ['keepalived', '--dont-fork', '--log-console', '--log-detail', '--vrrp',
                *(f'{option}={os.path.join(self.directory, file)}' for option, file in files.items())]

    def deciding(self):
        """The VRRP process: the main process' child."""
        return [pid for pid in find_processes(marker='vrrp.pid') if parent_of(pid) == self.child.pid]

    def close(self):
        super().close()  # with the follower, whose arguments name the directory
        if self.follower:
            reap(self.follower)
        subprocess.run(self.host.wrap(['ip', 'addr', 'del', f'{ADDRESS}/24', 'dev', 'eth0']), check=False, capture_output=True)
        subprocess.run(self.host.wrap(['ip', 'addr', 'del', f'{ADDRESS}/32', 'dev', 'eth0']), check=False, capture_output=True)


class Keepalived(Peer):
    name = 'keepalived'
    title = 'keepalived'
    package = 'keepalived'
    Agent = KeepalivedAgent
    uses_zookeeper = False

    @classmethod
    def version(cls):
        return package_version('keepalived')

    def standing_by(self, agent):
        states = [line for line in agent.log_text().splitlines() if ' STATE' in line]
        return bool(states) and 'BACKUP STATE' in states[-1]

    def switchover(self, agent):
        agent.terminate()
