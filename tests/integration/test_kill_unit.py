"""systemd/kill-unit, with a systemctl that tells what the test wants."""

import os
import subprocess

import pytest

from lab import process
from lab.wait import wait_until

KILL_UNIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'systemd', 'kill-unit')
BASE = next((base for base in ('/sys/fs/cgroup', '/sys/fs/cgroup/unified') if os.path.exists(f'{base}/cgroup.procs') and
             os.path.exists(f'{base}/cgroup.controllers')), None)

# Right after the first answer about the state, the main process is dead and its clean-up runs.
SYSTEMCTL = '''#!/bin/sh
cd {directory}
case $* in
*SubState*)
	if [ -e cleaner ]; then
		printf "ControlGroup={group}\\nSubState=stop-post\\nControlPID=$(cat cleaner)\\n"
	else
		printf 'ControlGroup={group}\\nSubState=stop-sigterm\\nControlPID=0\\n'
		kill -9 {main}
		setsid sleep 1000 >/dev/null 2>&1 &
		echo $! >{base}{group}/cgroup.procs
		echo $! >cleaner
	fi
	;;
*ControlGroup*) echo {group} ;;
esac
'''


@pytest.fixture
def group():
    if os.geteuid() or not BASE:
        pytest.skip('needs root and a cgroup2 hierarchy')
    path = f'/primaryd-test-{os.getpid()}-kill'
    os.mkdir(BASE + path)
    yield path
    with open(f'{BASE}{path}/cgroup.procs', encoding='ascii') as file:
        for pid in file.read().split():
            os.kill(int(pid), 9)
    wait_until(lambda: 'populated 0' in open(f'{BASE}{path}/cgroup.events', encoding='ascii').read(), 5, path)
    os.rmdir(BASE + path)


def test_clean_up_that_has_just_begun(tmp_path, group):
    """The main process has ended: what systemd starts then to clean up is not killed."""
    main, child = process.spawn(['sleep', '1000']), process.spawn(['sleep', '1000'])
    for one in (main, child):
        with open(f'{BASE}{group}/cgroup.procs', 'w', encoding='ascii') as file:
            file.write(str(one.pid))
    systemctl = tmp_path / 'systemctl'
    systemctl.write_text(SYSTEMCTL.format(directory=tmp_path, group=group, main=main.pid, base=BASE))
    systemctl.chmod(0o755)
    done = subprocess.run([KILL_UNIT, 'worker.service'], env={**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}'},
                          capture_output=True, text=True, check=False)
    assert main.wait(5) == child.wait(5) == -9
    with open(f'{BASE}{group}/cgroup.procs', encoding='ascii') as file:
        assert file.read().split() == [(tmp_path / 'cleaner').read_text().strip()], done.stderr
    assert done.returncode == 1 and 'a process of worker.service is left' in done.stderr
