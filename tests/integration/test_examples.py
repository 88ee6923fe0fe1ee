"""The examples of conf/examples, each as it is shipped: with stubs for agents and clouds, and with real nodes where nodes take
part. (test_http.py runs haproxy.cfg.)"""

import os
import shutil
import subprocess
import time

import pytest

from ctl_shell import REFUSED, Ctl, built
from lab.node import TOP, program
from lab.steps import MORTAL, QUICK, by_name, others, settle
from lab.wait import stays, wait_until

pytestmark = pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')

EXAMPLES = os.path.join(TOP, 'conf', 'examples')


def text_of(example):
    with open(os.path.join(EXAMPLES, example), encoding='ascii') as file:
        return file.read()


def setting(example, key):
    """The value of the only line KEY=VALUE in a unit."""
    [value] = [line.split('=', 1)[1] for line in text_of(example).splitlines() if line.startswith(f'{key}=')]
    return value


@pytest.fixture
def stub(tmp_path):
    """stub(name, script): a program that comes first in the PATH of run()."""
    directory = tmp_path / 'bin'
    directory.mkdir()

    def make(name, script):
        path = directory / name
        path.write_text(f'#!/bin/sh\n{script}\n')
        path.chmod(0o755)
        return str(path)
    make.path = f'{directory}:/usr/bin:/bin'
    make.log = tmp_path / 'log'
    return make


def run(stub, argv, **environment):
    return subprocess.run(argv, env={'PATH': stub.path, **environment}, capture_output=True, text=True, timeout=10, check=False)


BMC = 'ip=192.0.2.101\nusername=primaryd\npassword=a secret\n'


@pytest.fixture(params=['fence_ipmilan', 'fence_redfish'])
def fence(request, stub, tmp_path):
    """fence(event, node): fence-bmc with a stub of the agent, which notes what it is told. It answers with the exit code in
    the file `status`, and does not turn off anything if there is a file `broken`."""
    (tmp_path / 'db1').write_text(f'agent={request.param}\n{BMC}')
    # As the agents do: options on stdin; the status of a host that is off is 2.
    stub(request.param, f'options=$(cat); echo "$options" >>{stub.log}; [ $# = 0 ] || exit 9\n'
         f'case $options in *"action=off") [ ! -e {tmp_path}/broken ];; *"action=status") exit $(cat {tmp_path}/status);; esac')

    def ask(event='fence', node='db1'):
        done = run(stub, [os.path.join(EXAMPLES, 'fence-bmc'), str(tmp_path)], PRIMARYD_TARGET=node, PRIMARYD_EVENT=event)
        assert 'secret' not in done.stdout + done.stderr
        return done
    return ask


def test_fence(fence, stub, tmp_path):
    """The host is off when the BMC says so, and not because a command ended with 0."""
    (tmp_path / 'status').write_text('2')
    assert fence().returncode == 0
    assert stub.log.read_text() == f'{BMC}action=off\n{BMC}action=status\n'
    assert fence(node='db2').returncode != 0, 'a node without options'
    (tmp_path / 'status').write_text('0')
    done = fence()
    assert done.returncode == 1 and 'db1' in done.stdout and 'not off' in done.stdout
    (tmp_path / 'status').write_text('2')
    (tmp_path / 'broken').touch()
    assert fence().returncode != 0


def test_fence_check(fence, stub, tmp_path):
    """It asks whether the host is on or off, and never turns it off."""
    for status, works in ((0, True), (2, True), (1, False), (3, False)):
        (tmp_path / 'status').write_text(str(status))
        assert (fence('fence-check').returncode == 0) == works, status
    assert fence('fence-check', 'db2').returncode != 0, 'a node without options'
    assert stub.log.read_text() == 4 * f'{BMC}action=status\n'


def test_cloud_address(stub, cluster, keys, oracle):
    """Real nodes call a stub of the provider's command line; where the provider refuses, the role goes to the other node."""
    aws = stub('aws', f'echo "$@" >>{stub.log}; case "$*" in *"$(cat {stub.log}.refused)"*) exit 254;; esac')
    (stub.log.parent / 'log.refused').write_text('eni-nobody')
    nodes = cluster(2, start=False, **QUICK)
    script = os.path.join(EXAMPLES, 'cloud-address')
    for node in nodes:
        command = f'/usr/bin/env PATH={os.path.dirname(aws)}:/usr/bin:/bin {script} eipalloc-1 eni-{node.name}'
        node.write_config(**{'takeover.command': command, 'relinquish.command': command})
        node.start()

    def holder():
        return stub.log.read_text().splitlines()[-1]
    primary = wait_until(lambda: next((node.name for node in nodes if keys.state(node.name) == 'primary'), None), 20)
    assert holder() == f'ec2 associate-address --allocation-id eipalloc-1 --network-interface-id eni-{primary} --allow-reassociation'
    other = others(nodes, primary)[0].name
    keys.set('primary_node', other)
    wait_until(lambda: keys.state(other) == 'primary' and f'eni-{other} ' in holder(), 20)
    (stub.log.parent / 'log.refused').write_text(f'eni-{primary} ')
    keys.set('primary_node', primary)
    by_name(nodes, primary).wait_log('takeover_failed')
    wait_until(lambda: keys.state(other) == 'primary' and f'eni-{other} ' in holder(), 20)


def test_failback(cluster, keys, oracle, ensemble, root):
    nodes = cluster(2, **QUICK)
    ctl = Ctl(ensemble.connect, root)
    primary = settle(keys, oracle, nodes)
    favourite = others(nodes, primary)[0].name
    assert setting('failback.service', 'Type') == 'oneshot'
    words = setting('failback.service', 'ExecStart').split()
    assert words[0] == '/usr/bin/primaryctl'
    command = [favourite if word == 'db1' else word for word in words[1:]]
    ctl.run('drain', favourite)
    ctl.run(*command, code=REFUSED)
    assert keys.primary() == primary
    ctl.run('undrain', favourite)
    ctl.run(*command)
    settle(keys, oracle, nodes, primary=favourite)
    epoch = keys.acting().epoch
    ctl.run(*command)
    assert keys.acting().epoch == epoch, 'nothing moves when it is there already'


def test_job(stub, cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    [line] = [line for line in text_of('report.cron').splitlines() if not line.startswith('#')]
    schedule, command = line.split(' root ')
    assert len(schedule.split()) == 5
    report = stub('report', f'echo ran >>{stub.log}')
    for node in nodes:
        stub('primaryctl', f'exec {program("ctl/primaryctl")} --config {node.config_path} "$@"')
        stub.log.write_text('')
        done = run(stub, ['/bin/sh', '-c', command.replace('/usr/local/bin/report', report)])
        assert (done.returncode == 0) == (node.name == primary) == (stub.log.read_text() == 'ran\n'), done


@pytest.mark.skipif(not shutil.which('systemd-analyze'), reason='needs systemd-analyze')
def test_units(tmp_path):
    """Their settings are known to systemd, and mean what the work needs."""
    for example in ('failback.service', 'failback.timer', 'srv-data.mount'):
        text = text_of(example).replace('/usr/bin/primaryctl', '/bin/true')
        (tmp_path / example).write_text(text)
    for name in ('primary.target', 'primaryd-guard.service'):
        (tmp_path / name).write_text('[Unit]\nDescription=stand-in\n' + ('[Service]\nExecStart=/bin/true\n' if 'service' in name else ''))
    done = subprocess.run(['systemd-analyze', 'verify', '--man=no', *(str(tmp_path / name) for name in ('failback.timer', 'srv-data.mount'))],
                          env={**os.environ, 'SYSTEMD_UNIT_PATH': f'{tmp_path}:'}, capture_output=True, text=True, timeout=60, check=False)
    assert not [line for line in done.stderr.splitlines() if str(tmp_path) in line or 'failback' in line or 'srv-data' in line], done.stderr
    schedule = setting('failback.timer', 'OnCalendar')
    assert subprocess.run(['systemd-analyze', 'calendar', schedule], capture_output=True, check=False, timeout=10).returncode == 0
    for key, value in (('PartOf', 'primary.target'), ('BindsTo', 'primaryd-guard.service'), ('After', 'primaryd-guard.service'),
                       ('RequiredBy', 'primary.target')):
        assert setting('srv-data.mount', key) == value


def test_first_process_of_a_container(cluster, keys, oracle, tmp_path, container):
    """As in doc/containers.md: the end of the daemon is the end of the work, and a new container joins as secondary."""
    nodes = cluster(2, start=False, **MORTAL)
    for node in nodes:
        node.host = container
        work = tmp_path / f'work-{node.name}'
        work.write_text(f'#!/bin/sh\nsetsid sh -c "while :; do echo $PRIMARYD_EPOCH >>{tmp_path}/out-{node.name}; sleep 0.05; done" &\n')
        down = tmp_path / f'down-{node.name}'
        down.write_text('#!/bin/sh\n')
        for file in (work, down):
            file.chmod(0o755)
        node.write_config(**{'takeover.command': str(work), 'relinquish.command': str(down)})
        node.start()
    output = {node.name: tmp_path / f'out-{node.name}' for node in nodes}

    def works(name):
        size = output[name].stat().st_size if output[name].exists() else 0
        time.sleep(0.2)
        return output[name].exists() and output[name].stat().st_size > size
    primary = wait_until(lambda: next((name for name in output if keys.state(name) == 'primary' and works(name)), None), 20)
    other = others(nodes, primary)[0].name
    assert not works(other)
    by_name(nodes, primary).kill9()
    wait_until(lambda: not works(primary), 10, 'the kernel kills it with the first process')
    wait_until(lambda: keys.state(other) == 'primary' and works(other), 20)
    # The runtime directory of a new container is empty.
    shutil.rmtree(by_name(nodes, primary).runtime_directory)
    os.mkdir(by_name(nodes, primary).runtime_directory, 0o700)
    by_name(nodes, primary).start()
    wait_until(lambda: keys.state(primary) == 'secondary', 20)
    stays(lambda: keys.primary() == other and not works(primary), 1, 'the other one goes on')
    for node in nodes:
        node.kill9()  # unshare passes no signal on
