"""A container, as far as processes know: a PID namespace."""

import shutil
import subprocess


class Container:
    """In the place of a node's netns.Host: its daemon is the first process of a namespace, and all others end with it.
    Signals reach unshare alone; when that is killed, so is the namespace."""

    @staticmethod
    def wrap(argv):
        return ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '--', *argv]


def available():
    """None if there can be one here, else the reason why not."""
    if not shutil.which('unshare'):
        return 'needs unshare'
    done = subprocess.run(Container.wrap(['true']), capture_output=True, text=True, check=False)
    return f'no PID namespaces: {done.stderr.strip()}' if done.returncode != 0 else None
