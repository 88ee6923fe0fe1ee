"""The primary cut off from the servers: its work is down in time, another's is up in time, never both."""

import pytest

from lab import view, zk
from lab.trial import SESSION_S, Trial, isolated_trial, oracle, trial  # noqa: F401 (fixtures)
from lab.wait import wait_until

CUTS = ('silent', 'reset', 'oneway-up', 'oneway-down')


@pytest.mark.parametrize('mode', CUTS)
def test_cut_from_all_servers(trial, mode):
    primary, _ = trial.start(2)
    epoch = trial.keys.acting().epoch
    cut_ns = trial.now()
    primary.links.set_mode(mode)
    # Heard, but hearing nothing, it keeps its session alive with each attempt to come back, until it gives that up.
    successor = trial.fail_over(primary, cut_ns, 4 / 3 * SESSION_S if mode == 'oneway-down' else 0.0)
    primary.links.set_mode('pass')
    trial.settle(primary=successor.name)
    assert trial.keys.acting().epoch > epoch


def test_cut_from_one_server(trial):
    # The next server is tried in time: nobody notices.
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    for mode in CUTS:
        server = trial.connected_server(primary)
        primary.links.set_mode(mode, server)
        moved = lambda: any(number != server.number for number in primary.links.connected_to())  # noqa: E731
        wait_until(moved, 10, lambda: f'another server is tried:\n{primary.log_tail()}')
        keepalive = trial.keys.get(f'nodes/{primary.name}/keepalive')
        wait_until(lambda: trial.keys.get(f'nodes/{primary.name}/keepalive') != keepalive, 5, 'the lease is renewed')
        trial.untouched(primary, lives, epoch)
        primary.links.set_mode('pass', server)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)


def test_cut_short(trial):
    # Shorter than what the lease leaves for it.
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    for mode in CUTS:
        cut_ns = trial.now()
        primary.links.set_mode(mode)
        wait_until(lambda: trial.now() - cut_ns > 0.15e9, 5)
        primary.links.set_mode('pass')
        keepalive = trial.keys.get(f'nodes/{primary.name}/keepalive')
        wait_until(lambda: trial.keys.get(f'nodes/{primary.name}/keepalive') != keepalive, 5, 'the lease is renewed')
    trial.untouched(primary, lives, epoch)


def test_secondary_cut_off(trial):
    # It must neither disturb the primary nor believe that it could follow it.
    primary, (secondary,) = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    cut_ns = trial.now()
    secondary.links.set_mode('silent')
    wait_until(lambda: trial.keys.get(f'nodes/{secondary.name}/alive') is None, 10, 'its session expires')
    assert trial.now() - cut_ns > 0.5e9
    trial.untouched(primary, lives, epoch)
    secondary.links.set_mode('pass')
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)


def test_everybody_cut_off(trial):
    # No node reaches a server: no work anywhere. Then all come back.
    primary, rest = trial.start(3)
    for node in trial.nodes:
        node.links.set_mode('silent')
    trial.wait_down(primary)
    wait_until(lambda: trial.keys.acting() is None, 10, 'the post goes with the session')
    assert not trial.working()
    for node in trial.nodes:
        node.links.set_mode('pass')
    trial.settle()
    assert len(trial.lives()) == 2 and rest


def test_no_server_at_all(trial):
    primary, _ = trial.start(2)
    epoch, cut_ns = trial.keys.acting().epoch, trial.now()
    for server in trial.ensemble.servers:
        server.kill9()
    down_ns = trial.wait_down(primary)
    assert down_ns - cut_ns < (SESSION_S + 0.1) * 1e9
    for server in trial.ensemble.servers:
        server.start()
    for server in trial.ensemble.servers:
        server.wait_ready()
    trial.settle()
    assert trial.keys.acting().epoch >= epoch


# servers cut from each other

def isolated_primary(trial, role):
    """A cluster of two whose primary sits on the leader, or on a follower; that server."""
    primary, _ = trial.start(2)
    server = trial.ensemble.leader() if role == 'leader' else trial.ensemble.followers()[0]
    trial.move_to(primary, server)
    primary, _ = trial.settle(primary=primary.name)
    assert primary.links.connected_to() == [server.number]
    return primary, server


@pytest.mark.parametrize('role', ['follower', 'leader'])
def test_server_isolated_with_the_primary(isolated_trial, role):
    # It still answers, but nothing that is written there commits. The others are in reach.
    trial = isolated_trial
    primary, server = isolated_primary(trial, role)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    trial.ensemble.isolate(server)
    wait_until(lambda: any(number != server.number for number in primary.links.connected_to()), 10,
               lambda: f'another server is tried:\n{primary.log_tail()}')
    if role == 'follower':
        keepalive = trial.keys.get(f'nodes/{primary.name}/keepalive')
        wait_until(lambda: trial.keys.get(f'nodes/{primary.name}/keepalive') != keepalive, 10)
        trial.untouched(primary, lives, epoch)
    trial.ensemble.heal()
    trial.settle(timeout=40)


@pytest.mark.parametrize('role', ['follower', 'leader'])
def test_nothing_but_an_isolated_server(isolated_trial, role):
    # The primary reaches that one alone.
    trial = isolated_trial
    primary, server = isolated_primary(trial, role)
    for other in trial.ensemble.servers:
        if other is not server:
            primary.links.set_mode('silent', other)
    cut_ns = trial.now()
    trial.ensemble.isolate(server)
    # Each session lives a whole T from the moment there is a leader.
    left = [other for other in trial.ensemble.servers if other is not server]
    wait_until(lambda: any(other.mode() == 'leader' for other in left), 20, 'the others have a leader')
    successor = trial.fail_over(primary, cut_ns, (trial.now() - cut_ns) / 1e9)
    trial.ensemble.heal()
    primary.links.set_mode('pass')
    trial.settle(primary=successor.name, timeout=40)


# hosts in network namespaces

@pytest.fixture
def parted(network):
    """Five hosts, servers on the first three, and the keys as the first one sees them."""
    net = network(5)
    servers = net.hosts[:3]
    with zk.Ensemble(3, hosts=servers) as ensemble:
        client = view.connect(ensemble.connect, handler=servers[0].kazoo_handler())
        yield net, ensemble, view.View(client, '/parted')
        client.stop()
        client.close()


def test_hosts_parted(parted, make_cluster, oracle):
    net, ensemble, keys = parted
    servers, hosts = net.hosts[:3], net.hosts[3:]
    trial = Trial(make_cluster, ensemble, keys, oracle)
    for node in trial.add(2, proxied=False, hosts=hosts):
        node.start()
    primary, _ = trial.settle()
    cuts = {
        'both ways': net.cut,
        'no requests': lambda host, server: net.cut(host, server, oneway=True),
        'no answers': lambda host, server: net.cut(server, host, oneway=True),
    }
    for cut in cuts.values():
        cut_ns = trial.now()
        for server in servers:
            cut(primary.host, server)
        successor = trial.fail_over(primary, cut_ns)
        net.heal()
        primary, _ = trial.settle(primary=successor.name)
    cut_ns = trial.now()
    net.link(primary.host, up=False)
    successor = trial.fail_over(primary, cut_ns)
    net.link(primary.host, up=True)
    trial.settle(primary=successor.name)
