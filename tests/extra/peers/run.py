#!/usr/bin/python3
"""primaryd and others that keep one node primary, through the same faults, side by side.

    tests/extra/peers/run.py [--runs N] [--peers NAME,...] [--faults NAME,...] [--json FILE] [--keep DIRECTORY] [--list]

Each peer has three nodes in network namespaces of their own and, if it uses it, the same three ZooKeeper servers. Each
fault hits the node at work: of all peers at once where it takes seconds, of one after the other where milliseconds count.
The work is the same for all: something that notes every 2 ms that it runs (beat.c). What is printed, over the runs:

  gap      nobody's work ran: the median
  overlap  work ran on two nodes: the worst. `lasting`: it still did when the watch was over
  moved    how often the role went to another node although its own was well

`chrt -f 30 tests/extra/peers/run.py` where others use the machine. A run of all faults takes 3 minutes; with Patroni, for whose timeout
all others then wait, it is better measured alone (--peers patroni): 7 minutes a run.

Needs root, for the namespaces. A peer whose packages cannot be had is left out. PRIMARYD_BUILD as elsewhere (default build/gcc).
"""

import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path[:0] = [os.path.join(TOP, 'tests', 'extra', 'peers'), os.path.join(TOP, 'tests', 'integration')]

if subprocess.run([os.path.join(TOP, 'tests', 'packages.sh'), 'test'], check=False).returncode:
    sys.exit(1)

import bout  # noqa: E402

sys.exit(bout.main(__doc__))
