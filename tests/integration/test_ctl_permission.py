"""primaryctl check: whether polkit lets the daemon's user manage its units, asked of a real polkitd on a bus of its own."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from ctl_shell import built, environment
from lab import process
from lab.node import TOP, program
from lab.wait import wait_until

POLKITD = '/usr/lib/polkit-1/polkitd'

pytestmark = [
    pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built'),
    pytest.mark.skipif(os.geteuid() != 0, reason='only root may ask polkit, and mount'),
    pytest.mark.skipif(not (os.path.exists(POLKITD) and shutil.which('dbus-daemon')), reason='needs polkitd and dbus'),
]

BUS = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path={directory}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
</policy></busconfig>
'''

# In a mount namespace of its own: a user primaryd, and no rules but ours.
RUN = '''set -e
cd {directory}
cp /etc/passwd passwd; cp /etc/group group
grep -q ^primaryd: passwd || echo 'primaryd:x:64999:64999::/:/usr/sbin/nologin' >>passwd
mount --bind passwd /etc/passwd
for place in /etc/polkit-1/rules.d /usr/share/polkit-1/rules.d; do mount --bind rules $place; done
"$@" & wait $!
'''


def say(text):
    print(text, file=sys.stderr)


class Polkit:
    """A bus with polkitd, and a mount namespace in which primaryctl can ask it."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.env = environment(DBUS_SYSTEM_BUS_ADDRESS=f'unix:path={self.directory}/bus')
        (directory / 'bus.conf').write_text(BUS.format(directory=self.directory))
        (directory / 'run').write_text(RUN.format(directory=self.directory))
        self.rules = directory / 'rules'
        self.children = []

    def inside(self, *argv):
        return ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', f'{self.directory}/run', *argv]

    def start(self):
        self._start('dbus-daemon', '--nofork', f'--config-file={self.directory}/bus.conf')
        wait_until(lambda: os.path.exists(f'{self.directory}/bus'), 10)
        return self

    def _start(self, *argv):
        self.children.append(process.spawn(argv, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def check(self, config, user=None):
        """The findings about polkit: (result, text). polkitd comes and goes with it: it reads its rules at the start."""
        become = ['setpriv', f'--reuid={user}', f'--regid={user}', '--clear-groups', '--'] if user else []
        ask = ['busctl', '--timeout=1', 'call', 'org.freedesktop.PolicyKit1', '/org/freedesktop/PolicyKit1/Authority',
               'org.freedesktop.DBus.Peer', 'Ping']
        script = (f'{POLKITD} --no-debug >/dev/null 2>&1 & until {" ".join(ask)} >/dev/null 2>&1; do sleep 0.05; done; exec "$@"')
        done = subprocess.run(self.inside('sh', '-c', script, 'sh', *become, program('ctl/primaryctl'), '--config', config, '--json',
                                          '--timeout', '300ms', 'check'),
                              env=self.env, capture_output=True, text=True, timeout=60, check=False)
        say(done.stderr)
        return [(row['result'], row['finding']) for row in json.loads(done.stdout)['findings'] if row['subject'] == 'polkit']

    def close(self):
        for child in self.children:
            process.kill(child)


@pytest.fixture
def polkit(tmp_path_factory):
    made = Polkit(tmp_path_factory.mktemp('polkit'))
    os.makedirs(made.rules)
    # For polkitd, which has a user of its own: all the way up to what pytest made.
    for directory in (made.directory, *pathlib.Path(made.directory).parents):
        if os.stat(directory).st_mode & 0o001:
            break
        os.chmod(directory, 0o711)
    yield made.start()
    made.close()


@pytest.fixture
def config(polkit):
    def make(unit):
        path = polkit.directory + '/primaryd.conf'
        with open(path, 'w', encoding='ascii') as file:
            # Nobody listens there: what is asked here is this machine.
            file.write(f'[zookeeper]\nservers = 127.0.0.1:1\n[node]\nname = n\n[takeover]\nunit = {unit}\n')
        return path
    return make


def test_asked(polkit, config):
    [(result, text)] = polkit.check(config('primary.target'))
    assert result == 'error' and 'does not let the user primaryd start primary.target' in text
    shutil.copy(f'{TOP}/systemd/50-primaryd.rules', polkit.rules)
    [(result, text)] = polkit.check(config('primary.target'))
    assert result == 'ok' and 'start and stop primary.target' in text
    # The rule is there, and does not cover that one.
    [(result, text)] = polkit.check(config('web.service'))
    assert result == 'error' and 'start web.service' in text


def test_half_a_rule(polkit, config):
    rule = '''polkit.addRule(function (action, subject) {
        if (subject.user == "primaryd" && %s.indexOf(action.lookup("verb") + " " + action.lookup("unit")) >= 0)
            return polkit.Result.YES;
    });'''
    (polkit.rules / '40-local.rules').write_text(rule % '["start web.service"]')
    [(result, text)] = polkit.check(config('web.service'))
    assert result == 'error' and 'stop web.service' in text
    both = '"start web.service", "stop web.service"'
    (polkit.rules / '40-local.rules').write_text(rule % f'[{both}]')
    found = polkit.check(config('web.service'))
    assert [result for result, _ in found] == ['ok', 'warning'] and 'start primaryd-kill@web.service.service' in found[1][1]
    (polkit.rules / '40-local.rules').write_text(rule % f'[{both}, "start primaryd-kill@web.service.service"]')
    assert [result for result, _ in polkit.check(config('web.service'))] == ['ok']


def test_not_root(polkit, config):
    # What it cannot know is not said to be wrong, nor to be right.
    [(result, text)] = polkit.check(config('primary.target'), user=65534)
    assert result == 'note' and 'not checked' in text and 'only root' in text
