"""The driver: makes the hosts, the servers and the peers; lets the faults happen; prints and keeps what was seen."""

import argparse
import concurrent.futures
import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from lab import netns, node, view, zk
from lab.wait import Timeout, boottime_ns, wait_until

import measure
import table
from curator_peer import Curator, CuratorChild
from faults import FAULTS
from kazoo_peer import Kazoo, KazooChild
from keepalived_peer import Keepalived
from patroni_peer import Patroni
from primaryd_peer import Primaryd

PEERS = [Primaryd, Keepalived, Curator, CuratorChild, Kazoo, KazooChild, Patroni]
SERVERS = 3
NODES = 3
TICK_MS = 500
NOT_KEPT = ('data', 'sockets', 'classes', 'fifo')
# Not on a disk, whose bad moments would be taken for the work's; the servers' logs stay on one.
RUNTIME = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None


def parse_arguments(doc):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=int, default=5, help='how often each fault (default 5)')
    parser.add_argument('--peers', help='only these, separated by commas')
    parser.add_argument('--faults', help='only these')
    parser.add_argument('--json', metavar='FILE', help='every single measurement')
    parser.add_argument('--keep', metavar='DIRECTORY', help='where logs and configurations go in the end')
    parser.add_argument('--list', action='store_true', help='peers and faults')
    return parser.parse_args()


def choose(all_of, names):
    """The named ones, in their order."""
    known = [one.name for one in all_of]
    for name in names.split(',') if names else []:
        if name not in known:
            sys.exit(f'tests/extra/peers/run.py: no {name}; there are: {", ".join(known)}')
    return [one for one in all_of if not names or one.name in names.split(',')]


def why_not(peer):
    """Why a peer's packages cannot be had; None if they are there."""
    if not peer.package:
        return None
    done = subprocess.run([os.path.join(node.TOP, 'tests', 'packages.sh'), f'peer-{peer.package}'], check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return (done.stdout.strip() or 'no packages').splitlines()[-1] if done.returncode else None


class Corner:
    """A peer and the thread that all its processes are started by: they die with it."""

    def __init__(self, peer):
        self.peer = peer
        self.thread = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix=peer.name)

    def call(self, function, *args):
        return self.thread.submit(function, self.peer, *args)

    def close(self):
        self.call(lambda peer: peer.close()).result()
        self.thread.shutdown()


def begin(peer):
    """All calm: (who is at work, the time)."""
    return peer.settle(), boottime_ns()


def finish(peer, fault, holder, begin_ns):
    """What became of it, once somebody is at work (or nobody for a minute)."""
    try:
        wait_until(peer.at_work, 60, '', 0.02)
    except Timeout:
        pass
    end_ns = boottime_ns()  # before the reading, which takes a while where others work
    verdict = measure.judge(peer.beats(), holder.name, begin_ns, end_ns)
    return {'peer': peer.name, 'fault': fault.name, **verdict._asdict()}


def trial(peer, fault, network):
    """One fault, one peer."""
    holder, begin_ns = begin(peer)
    fault.inject(peer, holder, network)
    try:
        fault.last(peer)
    finally:
        fault.mend(peer, holder, network)
    return finish(peer, fault, holder, begin_ns)


def told(peer, fault, function, *args):
    """function(peer, ...); what goes wrong with it is told, None returned, and the peer begins afresh."""
    try:
        return function(peer, *args)
    except (Timeout, OSError, subprocess.SubprocessError) as error:
        print(f'   {peer.name}, {fault.name}: {error}', file=sys.stderr, flush=True)
        peer.close()
        return None


def server_trial(corners, fault, ensemble):
    """The leading server is killed, for all at once."""
    states = [corner.call(told, fault, begin) for corner in corners]
    states = [state.result() for state in states]
    begin_ns = boottime_ns()
    leader = ensemble.leader()
    leader.kill9()
    fault.last(max((corner.peer for corner in corners), key=lambda peer: peer.timeout_s))
    futures = [corner.call(finish, fault, state[0], begin_ns) for corner, state in zip(corners, states) if state]
    results = [future.result() for future in futures]
    leader.restart()
    return results


def one_round(corners, fault, network, ensemble):
    corners = [corner for corner in corners if fault.concerns(corner.peer)]
    if fault.inject is None:
        return server_trial(corners, fault, ensemble)
    if fault.alone:
        return [corner.call(told, fault, trial, fault, network).result() for corner in corners]
    return [future.result() for future in [corner.call(told, fault, trial, fault, network) for corner in corners]]


def compare(options, peers, faults, directory, results):
    """All measurements, as dicts, into `results`."""
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(netns.Network(SERVERS + 1 + NODES * len(peers)))
        hosts = network.hosts
        ensemble = stack.enter_context(zk.Ensemble(SERVERS, tick_ms=TICK_MS, hosts=hosts[:SERVERS]))
        observer = view.connect(ensemble.connect, handler=hosts[SERVERS].kazoo_handler())
        stack.callback(observer.close)
        stack.callback(observer.stop)
        corners = []
        for number, peer in enumerate(peers):
            first = SERVERS + 1 + NODES * number
            corners.append(Corner(peer(hosts[first:first + NODES], ensemble, directory)))
            corners[-1].peer.observer = observer
            stack.callback(corners[-1].close)
        for run in range(1, options.runs + 1):
            for fault in faults:
                print(f'-- run {run} of {options.runs}: {fault.title}', file=sys.stderr, flush=True)
                for result in one_round(corners, fault, network, ensemble):
                    if result:
                        results.append({**result, 'run': run})
                        print(f'   {table.line_of(result)}', file=sys.stderr, flush=True)


def main(doc):
    options = parse_arguments(doc)
    peers, faults = choose(PEERS, options.peers), choose(FAULTS, options.faults)
    if options.list:
        for one in (*peers, *faults):
            print(f'{one.name:<15}{one.title}')
        return 0
    why = netns.available()
    if why:
        print(f'skipped: {why}')
        return 77
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is taken away
    logging.getLogger('kazoo').setLevel(logging.CRITICAL)  # servers die here
    skipped = {peer: why_not(peer) for peer in peers}
    for peer, why in skipped.items():
        if why:
            print(f'{peer.name} is left out: {why}')
    peers = [peer for peer in peers if not skipped[peer]]
    os.umask(0o022)
    directory = tempfile.mkdtemp(prefix='primaryd-peers-', dir=RUNTIME)
    os.chmod(directory, 0o755)  # one peer's agent is not root
    results = []
    try:
        with contextlib.suppress(KeyboardInterrupt):  # what was measured until then is told all the same
            compare(options, peers, faults, directory, results)
        if options.keep:
            shutil.copytree(directory, options.keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NOT_KEPT))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    versions = {peer.name: peer.version() for peer in peers}
    print('\n'.join(table.render(results, peers, faults, versions)))
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump({'versions': versions, 'results': results}, file, indent=1)
    return 0
