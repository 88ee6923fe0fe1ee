"""The panels of a Grafana dashboard, drawn with matplotlib: of each kind what the dashboard uses."""

import datetime
import math

import matplotlib

matplotlib.use('agg')

from matplotlib import dates, pyplot  # noqa: E402

COLUMNS = 24  # of Grafana's grid
INCHES = {'x': 0.5, 'y': 0.36}  # of one cell of it
COLORS = {'green': '#3fa34d', 'red': '#d1343b', 'orange': '#f08c2e', 'yellow': '#e8c33a', 'blue': '#6f9fd8', 'text': '#808080'}
GONE_S = 5.0  # without an answer: Prometheus gives the last one for that long


def color(name):
    return COLORS.get(name, name)


def with_gaps(points):
    """Nothing is drawn where no value was given."""
    for (at, value), (following, _) in zip(points, points[1:] + points[-1:]):
        yield at, value
        if following - at > GONE_S:
            yield at + GONE_S, math.nan


def moments(points):
    return [datetime.datetime.fromtimestamp(at, datetime.timezone.utc) for at, _ in points]


def mapping(defaults, value):
    """{text, color} of a value, as far as the dashboard says."""
    for one in defaults.get('mappings', []):
        if f'{value:g}' in one['options']:
            return one['options'][f'{value:g}']
    return {}


def threshold(defaults, value):
    passed = [step['color'] for step in defaults.get('thresholds', {}).get('steps', [])
              if step['value'] is None or value >= step['value']]
    return passed[-1] if passed else None


def draw_stat(axes, panel, lines):
    """The last values, those that are still given."""
    axes.axis('off')
    end = max((points[-1][0] for _, points in lines if points), default=0)
    defaults, texts, shade = panel['fieldConfig']['defaults'], [], 'black'
    for name, points in lines:
        if not points or points[-1][0] < end:
            continue
        value = points[-1][1]
        known = mapping(defaults, value)
        texts.append(name if panel['options'].get('textMode') == 'name' else known.get('text', f'{value:.0f}'))
        shade = color(known.get('color') or threshold(defaults, value) or 'black')
    axes.text(0.5, 0.4, ', '.join(texts), ha='center', va='center', fontsize=17, color=shade)


def draw_states(axes, panel, lines):
    """One row a series, coloured by its value; nothing where there is none."""
    lines = sorted(lines, reverse=True)
    shown = {}
    for row, (_, points) in enumerate(lines):
        for (at, value), following in zip(points, points[1:] + points[-1:]):
            known = mapping(panel['fieldConfig']['defaults'], value)
            width_s = min(following[0] - at, GONE_S)
            if value and width_s:
                begin = dates.date2num(moments([(at, 0)])[0])
                axes.broken_barh([(begin, width_s / 86400)], (row - 0.4, 0.8), color=color(known['color']), linewidth=0)
                shown[known['text']] = color(known['color'])
    axes.set_yticks(range(len(lines)), [name for name, _ in lines])
    handles = [matplotlib.patches.Patch(color=shade, label=text) for text, shade in shown.items()]
    axes.legend(handles=handles, loc='upper center', bbox_to_anchor=(0.5, -0.12), ncol=6, frameon=False, fontsize=7)


def draw_curves(axes, panel, lines):
    for name, points in lines:
        if any(value for _, value in points) or len(lines) < 4:  # a legend of zeros would tell nothing
            points = list(with_gaps(points))
            axes.plot(moments(points), [value for _, value in points], linewidth=1, label=name,
                      linestyle='--' if name == 'two thirds' else '-', drawstyle='steps-post')
    axes.set_ylim(bottom=0)
    axes.set_ylabel({'s': 'seconds'}.get(panel['fieldConfig']['defaults'].get('unit'), ''), fontsize=7)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.legend(loc='upper center', bbox_to_anchor=(0.5, -0.12), ncol=4, frameon=False, fontsize=6)


KINDS = {'stat': draw_stat, 'state-timeline': draw_states, 'timeseries': draw_curves}


def draw(panels, path):
    """panels: [(the dashboard's panel, [(name, [(time, number)])])]."""
    rows = max(panel['gridPos']['y'] + panel['gridPos']['h'] for panel, _ in panels)
    figure = pyplot.figure(figsize=(COLUMNS * INCHES['x'], rows * INCHES['y']))
    for panel, lines in panels:
        place = panel['gridPos']
        stat = panel['type'] == 'stat'
        left, right = (0.2, 0.2) if stat else (1.2, 0.4)
        top, bottom = (1.0, 0.2) if stat else (1.0, 1.9)
        axes = figure.add_axes([(place['x'] + left) / COLUMNS, 1 - (place['y'] + place['h'] - bottom) / rows,
                                (place['w'] - left - right) / COLUMNS, (place['h'] - top - bottom) / rows])
        axes.set_title(panel['title'], fontsize=9, loc='left')
        KINDS[panel['type']](axes, panel, lines)
        if not stat:
            axes.tick_params(labelsize=7)
            axes.xaxis.set_major_locator(dates.MinuteLocator(interval=2))
            axes.xaxis.set_major_formatter(dates.DateFormatter('%H:%M'))
    figure.savefig(path, dpi=90, metadata={'Software': None} if path.endswith('.png') else None)
