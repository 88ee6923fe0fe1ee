"""The keys of the live view of tests/demo."""

import os
import types

import pytest

DEMO = os.path.join(os.path.dirname(__file__), '..', 'extra', 'demo')


@pytest.fixture
def view(monkeypatch):
    monkeypatch.syspath_prepend(DEMO)
    import screen  # pylint: disable=import-outside-toplevel,import-error
    terminal = types.SimpleNamespace(colour=False, paint=lambda text, *_: text)
    return screen.View(types.SimpleNamespace(nodes={'node1': None, 'node2': None}), terminal)


def test_a_choice_is_taken_back(view):
    for back in ('2', '\033'):
        assert view.typed('2') and view.chosen == 'node2'
        assert view.typed(back) and view.chosen is None
    assert view.typed('\033') and view.chosen is None
    # A cursor key is no Esc.
    view.typed('1')
    assert view.typed('\033[A') and view.chosen == 'node1'
    assert view.typed('2') and view.chosen == 'node2'
    assert not view.typed('q')


def test_the_help_says_so(view):
    shown = ' '.join(view.help(100))
    assert 'choose node (again: none)' in shown and 'Esc choose none' in shown
    assert all(len(line) <= 100 for line in view.help(100))
