"""Three booted systems with the installed package, an ensemble, and a client that never stops asking."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))

import machine  # noqa: E402
from lab import netns  # noqa: E402

TEST_LIMIT_S = 120


def why_not():
    return machine.available() or netns.available() or (
        None if os.path.exists(os.environ.get('PRIMARYD_DEB', '')) else
        'needs PRIMARYD_DEB, the path of the package (tests/all system builds it)')


@pytest.fixture(scope='session')
def _site(tmp_path_factory):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    from site3 import Site
    made = Site(str(tmp_path_factory.mktemp('site')), os.environ['PRIMARYD_DEB'])
    try:
        made.open()
        yield made
    finally:
        made.close()


def is_brief(item):
    return bool(item.get_closest_marker('brief'))


def pytest_configure(config):
    config.addinivalue_line('markers', 'brief: a session has to expire, or another wait depends on its timeout')


def pytest_collection_modifyitems(items):
    """Those with the short session first: it is changed once."""
    items.sort(key=lambda item: not is_brief(item))


@pytest.fixture
def site(_site, request):
    """Everything is up, and one of the three holds the address."""
    from site3 import BRIEF_SESSION_S, SESSION_S
    _site.settle(BRIEF_SESSION_S if is_brief(request.node) else SESSION_S)
    yield _site
    report = getattr(request.node, 'report_call', None)
    if report is None or not report.passed:
        for one in _site.machines:
            if one.is_on():
                print(one.journal_tail())
        print(_site.holders.intervals())


@pytest.fixture
def drop_in():
    """drop_in(machine, unit, text): gone again after the test."""
    made = []

    def write(one, unit, text):
        directory = f'/run/systemd/system/{unit}.d'
        one.shell(f'mkdir -p {directory}; cat >{directory}/t.conf <<"EOF"\n{text}\nEOF\nsystemctl daemon-reload')
        made.append((one, directory))
    yield write
    for one, directory in made:
        if one.is_on():
            one.shell(f'rm -rf {directory}; systemctl daemon-reload; systemctl reset-failed')


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    setattr(item, f'report_{report.when}', report)


def pytest_terminal_summary(terminalreporter):
    """The table of what was measured."""
    if 'site3' not in sys.modules:
        return
    rows = sys.modules['site3'].MEASURED
    if not rows:
        return
    terminalreporter.write_line('')
    terminalreporter.write_line(f'{"scenario":<44}{"unreachable":>12}  {"holder":<14}{"two holders":<12}')
    for name, milliseconds, change, twice in rows:
        terminalreporter.write_line(f'{name:<44}{milliseconds:>9.0f} ms  {change:<14}{twice:<12}')
