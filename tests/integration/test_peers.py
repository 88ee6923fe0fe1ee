"""What tests/extra/peers/run.py makes of the heartbeats; and the work that sends them."""

import os
import subprocess
import sys
from types import SimpleNamespace

from lab.node import TOP, program
from lab.wait import boottime_ns, wait_until

sys.path.insert(0, os.path.join(TOP, 'tests', 'extra', 'peers'))

import measure  # noqa: E402
import table  # noqa: E402

MS = 1_000_000


def lives(*spans):
    """Beats each 2 ms: (node, life, from ms, to ms)."""
    return [(node, life, at * MS) for node, life, begin, end in spans for at in range(begin, end + 1, 2)]


def judge(*spans, begin=1000, end=10000):
    return measure.judge(lives(*spans), 'a', begin * MS, end * MS)


def test_gap_is_what_no_life_covers():
    verdict = judge(('a', '1', 0, 2000), ('b', '1', 2300, 10000))
    assert verdict == (300, 0, ['b'], False, False)


def test_overlap_is_what_two_nodes_cover():
    verdict = judge(('a', '1', 0, 3000), ('b', '1', 2500, 10000))
    assert verdict == (0, 500, ['b'], False, False)
    assert judge(('a', '1', 0, 10000), ('b', '1', 4000, 10000)) == (0, 6000, ['b'], True, False)


def test_two_lives_of_one_node_do_not_overlap():
    assert judge(('a', '1', 0, 3000), ('a', '2', 2500, 10000)) == (0, 0, [], False, False)


def test_a_frozen_life_is_no_work_and_a_stumbling_one_is():
    assert judge(('a', '1', 0, 2000), ('a', '1', 2600, 10000)).gap_ms == 600
    assert judge(('a', '1', 0, 2000), ('a', '1', 2400, 10000)).gap_ms == 0
    thawed = judge(('a', '1', 0, 2000), ('b', '1', 4000, 10000), ('a', '1', 8000, 8010))
    assert (thawed.gap_ms, thawed.overlap_ms) == (2000, 10)


def test_nobody_in_the_end():
    assert judge(('a', '1', 0, 2000)) == (8000, 0, [], False, True)


def test_what_was_before_does_not_count():
    assert judge(('b', '1', 0, 900), ('a', '1', 500, 10000)) == (0, 0, [], False, False)


def test_cell():
    def result(gap, overlap=0, others=(), lasting=False):
        return {'gap_ms': gap, 'overlap_ms': overlap, 'others': list(others), 'lasting': lasting, 'idle': False}
    needless, needed = SimpleNamespace(name='x', needed=False), SimpleNamespace(name='x', needed=True)
    assert table.cell_of([result(1), result(20), result(3000, others='b')], needless) == '20 ms; moved 1 of 3'
    assert table.cell_of([result(0, 7200, 'b', True), result(0, 3, 'b')], needed) == '0; **two for 7.2 s and on**'
    assert table.cell_of([result(0, 2.25, 'b')], needed) == '0; **two for 2.2 ms**'


def test_beats(tmp_path):
    def beat(verb):
        return [program('tests/extra/peers/beat'), '--log', tmp_path / 'log', '--node', 'a', '--lock', tmp_path / 'lock', verb]
    log = tmp_path / 'log'
    begin = boottime_ns()
    for _ in range(2):  # the second has nothing to do
        subprocess.run(beat('start'), check=True, timeout=10)
    wait_until(lambda: log.exists() and log.read_text().count('\n') > 10)
    for _ in range(2):
        subprocess.run(beat('stop'), check=True, timeout=10)
    stopped = boottime_ns()
    beats = list(measure.parse_beats(log.read_text()))
    assert len({life for _, life, _ in beats}) == 1
    assert {node for node, _, _ in beats} == {'a'}
    assert begin < beats[0][2] < beats[-1][2] < stopped, 'when stop returns, the work is down'
