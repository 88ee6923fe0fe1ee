"""What the heartbeats of the work tell: when nobody was at work, and when two nodes were. Pure; see beat.c for the log."""

import collections

# A life that says nothing for longer was not at work meanwhile (frozen); what is shorter is a busy machine's doing.
SILENCE_NS = 500_000_000

Span = collections.namedtuple('Span', 'node begin_ns end_ns')


def parse_beats(text):
    """(node, life, ns) of each complete line."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[2].isdigit():
            yield fields[0], fields[1], int(fields[2])


def spans_of(beats):
    """The times in which work ran, by begin: first to last beat of each life, parted where it was silent."""
    last, spans = {}, []
    for node, life, at_ns in sorted(beats, key=lambda beat: beat[2]):
        index = last.get((node, life))
        if index is not None and at_ns - spans[index].end_ns <= SILENCE_NS:
            spans[index] = spans[index]._replace(end_ns=at_ns)
        else:
            last[node, life] = len(spans)
            spans.append(Span(node, at_ns, at_ns))
    return spans


def count_at_work(spans, begin_ns, end_ns):
    """{number of nodes at work: ns}, between two times."""
    edges = sorted({begin_ns, end_ns, *(edge for span in spans for edge in span[1:] if begin_ns < edge < end_ns)})
    times = collections.Counter()
    for a, b in zip(edges, edges[1:]):
        nodes = {span.node for span in spans if span.begin_ns <= a and span.end_ns >= b}
        times[len(nodes)] += b - a
    return times


Verdict = collections.namedtuple('Verdict', 'gap_ms overlap_ms others lasting idle')


def judge(beats, holder, begin_ns, end_ns):
    """gap_ms: nobody at work. overlap_ms: two nodes or more. others: who but `holder` was at work at any time.
    lasting: two were still at work at the end; idle: nobody was."""
    spans = spans_of(beats)
    last_ns = max((span.end_ns for span in spans), default=0)
    idle = last_ns <= end_ns - SILENCE_NS
    if not idle:
        end_ns = min(end_ns, last_ns)  # the next beat was not due yet
    times = count_at_work(spans, begin_ns, end_ns)
    overlap_ns = sum(ns for count, ns in times.items() if count > 1)
    late = {span.node for span in spans if span.end_ns > end_ns - SILENCE_NS // 2}
    others = sorted({span.node for span in spans if span.end_ns > begin_ns} - {holder})
    return Verdict(times[0] / 1e6, overlap_ns / 1e6, others, len(late) > 1, idle)
