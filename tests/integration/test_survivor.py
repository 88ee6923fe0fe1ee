"""Never two, whoever ends the post: the successor waits for the lease of the one before by its own clock."""

from kazoo.client import KazooClient

from lab.trial import CONFIG, Trial, isolated_trial, oracle, trial  # noqa: F401 (fixtures)

LONG = {**CONFIG, 'zookeeper.session-timeout': '10s', 'relinquish.lease-timeout': '3s', 'relinquish.timeout': '10s'}
SHORT = {**CONFIG, 'zookeeper.session-timeout': '2s'}


def test_other_session_timeouts(trial):
    """The post of a primary that is cut off is deleted: a successor with a shorter timeout waits for the longer lease."""
    [long], [short] = trial.add(1, **LONG), trial.add(1, **SHORT)
    long.start()
    trial.settle(primary=long.name)
    short.start()
    trial.settle(primary=long.name)
    long.links.set_mode('silent')
    trial.keys.set('primary_node', short.name)
    trial.keys.delete('primary_active')
    short.wait_log(f'corpse_found: {long.name} died in the role .*; its lease is over in|takeover_waiting: {long.name} is alive')
    trial.wait_successor(long)
    trial.check()
    long.links.set_mode('pass')
    trial.settle(primary=short.name)


def test_session_closed_by_another_client(trial):
    """The post goes at once, and the work of the old primary is still stopping."""
    primary, _ = trial.start(2, **LONG)
    primary.write_config(**{'relinquish.command': primary.set_command('relinquish', '--sleep 1500')})
    primary.reload()
    primary.wait_log('session_resumed: ')
    trial.settle(primary=primary.name)
    thief = KazooClient(trial.ensemble.connect, client_id=primary.client_id(), timeout=10)
    thief.start(10)
    thief.stop()
    thief.close()
    trial.wait_successor(primary, 30.0)
    trial.check()
    trial.settle()


def test_plain_expiry(trial):
    """After a crash the lease is over before the session is: nothing is waited for."""
    primary, _ = trial.start(2)
    primary.kill9()
    successor, _ = trial.wait_successor(primary)
    successor.wait_log(f'corpse_found: {primary.name} died in the role ')
    assert not successor.log_lines('its lease is over in|takeover_waiting')
    primary.start()
    trial.settle(primary=successor.name)
