"""What was measured, as lines and as a table."""

import statistics


def show(ms):
    """A time as people say it."""
    if ms < 0.05:
        return '0'
    return f'{ms / 1000:.1f} s' if ms >= 999.5 else f'{ms:.0f} ms' if ms >= 9.5 else f'{ms:.1f} ms'


def line_of(result):
    text = f'{result["peer"]:<14} gap {show(result["gap_ms"])}, overlap {show(result["overlap_ms"])}'
    text += f', then {" ".join(result["others"])}' if result['others'] else ', stayed'
    return text + (', LASTING' if result['lasting'] else '') + (', IDLE' if result['idle'] else '')


def cell_of(results, fault):
    """One peer, one fault, all runs."""
    if not results:
        return 'as above' if fault.name.endswith('-all') else '–'
    text = show(statistics.median(result['gap_ms'] for result in results))
    idle = sum(result['idle'] for result in results)
    if idle:
        text += f' (nobody in the end: {idle} of {len(results)})'
    worst = max(results, key=lambda result: result['overlap_ms'])
    if worst['overlap_ms'] > 0:
        lasting = any(result['lasting'] for result in results)
        text += f'; **two for {show(worst["overlap_ms"])}{" and on" if lasting else ""}**'
    moved = sum(bool(result['others']) for result in results)
    if moved and not fault.needed:
        text += f'; moved {moved} of {len(results)}'
    return text


def heads_of(peers, versions):
    """A version is said once for the columns of one package."""
    before = None
    for peer in peers:
        yield peer.title if peer.package and peer.package == before else f'{peer.title} {versions[peer.name]}'
        before = peer.package


def render(results, peers, faults, versions):
    """The lines of a Markdown table."""
    yield f'| the node at work: | {" | ".join(heads_of(peers, versions))} |'
    yield '|' + '---|' * (len(peers) + 1)
    for fault in faults:
        cells = [cell_of([result for result in results if (result['peer'], result['fault']) == (peer.name, fault.name)], fault)
                 for peer in peers]
        yield f'| {fault.title} | {" | ".join(cells)} |'
