"""primaryctl timeline: what the picture says against what the work did, in each form."""

import json
import xml.etree.ElementTree

import pytest

from ctl_shell import DONE, ESCAPES, REFUSED, USAGE, Ctl, built
from lab.steps import MORTAL, by_name, others, settle
from lab.wait import wait_until

pytestmark = pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')

SVG = '{http://www.w3.org/2000/svg}'
SLACK_MS = 300  # between what happens and when a server commits it


def work_gap_ms(oracle, old, new):
    """From the end of the work of one to the begin of that of the other."""
    ends = [turn for turn in oracle.intervals() if turn.node == old]
    begins = [turn for turn in oracle.intervals() if turn.node == new]
    return (begins[-1].begin_ns - ends[-1].end_ns) / 1e6


def rows(shown):
    """{node: its states}, one letter after the other, each once."""
    merged = {}
    for segment in shown['segments']:
        merged.setdefault(segment['node'], []).append(segment['state'].split(':')[0])
    return merged


def test_timeline(cluster, keys, oracle, ensemble, root, tmp_path):
    ctl = Ctl(ensemble.connect, root)
    assert 'no change' in ctl.run('timeline', code=REFUSED).stderr
    nodes = cluster(3, **MORTAL)
    old = settle(keys, oracle, nodes)
    first = ctl.json('timeline')
    assert first['timeline']['to'] == old and first['timeline']['gap_ms'] is None

    # Named by an operator: the gap is that of the work.
    new = others(nodes, old)[0].name
    ctl.run('switchover', new)
    shown = ctl.json('timeline')
    assert (shown['timeline']['from'], shown['timeline']['to']) == (old, new)
    assert shown['timeline']['gap_ms'] == shown['timeline']['gap_max_ms'] and 0 <= shown['timeline']['gap_ms'] < 2000
    assert rows(shown)[old] == ['primary', 'relinquish', 'secondary']
    assert rows(shown)[new][:2] == ['secondary', 'named'] and rows(shown)[new][-1] == 'primary'
    assert 'switchover by' in shown['timeline']['reason']

    # Drained: the daemons alone write the history.
    old, epoch = new, shown['timeline']['epoch']
    ctl.run('drain', old)
    new = keys.wait_primary(other_than=old)
    wait_until(lambda: ctl.json('timeline')['timeline']['gap_ms'] is not None, 10, 'the gap is told')
    shown = ctl.json('timeline')
    assert rows(shown)[old] == ['primary', 'relinquish', 'secondary'] and rows(shown)[new][-3:] == ['takeover', 'takeover', 'primary']
    ctl.run('undrain', old)

    # Killed for good: between the least and the most of the picture.
    old = new
    by_name(nodes, old).kill9()
    new = keys.wait_primary(other_than=old)
    wait_until(lambda: ctl.json('timeline')['timeline']['gap_ms'] is not None, 10, 'the gap is told')
    shown = ctl.json('timeline')
    assert (shown['timeline']['from'], shown['timeline']['to']) == (old, new)
    assert rows(shown)[old][:2] == ['primary', 'not heard of'] and rows(shown)[new][-1] == 'primary'
    gap = shown['timeline']
    assert gap['gap_ms'] - SLACK_MS <= work_gap_ms(oracle, old, new) <= gap['gap_max_ms'] + SLACK_MS
    assert 'for the session of' in json.dumps(shown['moments'])

    # For people, in 80 columns: letters tell what colours tell.
    plain = ctl.run('timeline').stdout
    with ctl.terminal('timeline', columns=80) as terminal:
        assert terminal.end() == DONE
        coloured = terminal.text.replace('\r', '')
    with ctl.terminal('timeline', columns=80, NO_COLOR='1') as terminal:
        assert terminal.end() == DONE
        assert terminal.text.replace('\r', '') == plain
    assert '\x1b[' in coloured and ESCAPES.sub('', coloured) == plain
    bars = [line for line in plain.splitlines() if line.startswith((f'{old} ', f'{new} ', 'gap '))]
    assert len(bars) == 3 and max(map(len, plain.splitlines())) <= 80 and '=' in bars[2] and 'P' in bars[0] and 'T' in bars[1]

    # As a picture: well-formed, nothing that runs, all of the text.
    path = tmp_path / 'picture.svg'
    assert ctl.run('timeline', '--svg', path).stdout == ''
    picture = xml.etree.ElementTree.parse(path).getroot()
    assert picture.tag == SVG + 'svg' and 'prefers-color-scheme' in picture.find(SVG + 'style').text
    assert not {element.tag for element in picture.iter()} - {SVG + tag for tag in
               ('svg', 'title', 'style', 'defs', 'pattern', 'path', 'rect', 'text')}
    texts = ' '.join(element.text or '' for element in picture.iter(SVG + 'text'))
    assert all(moment['what'] in texts for moment in shown['moments'])
    assert 'No such file' in ctl.run('timeline', '--svg', tmp_path / 'no' / 'x', code=REFUSED).stderr

    # An earlier change, by its epoch.
    assert ctl.json('timeline', epoch)['timeline']['epoch'] == epoch
    assert 'history lists' in ctl.run('timeline', '17', code=REFUSED).stderr
    assert 'not an epoch' in ctl.run('timeline', 'x', code=USAGE).stderr


def test_hostile_words(ensemble, root, keys, tmp_path):
    keys.set('history/claim-0000000001', '{"time": "2026-01-31T12:05:00.250Z", "to": "b", "from": "a", '
             '"reason": "<script>&</title>", "takeover_us": 9e99, "silent_us": 31536000000000, "lease_us": -1}')
    Ctl(ensemble.connect, root).run('timeline', '--svg', tmp_path / 'picture.svg')
    picture = xml.etree.ElementTree.parse(tmp_path / 'picture.svg').getroot()
    assert picture.find(SVG + 'title').text.endswith('<script>&</title>')
