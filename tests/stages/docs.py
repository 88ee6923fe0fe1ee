#!/usr/bin/python3
"""Holds what is written against what is: events, catalog, manual pages, options, configuration keys, the sample.

    docs.py BUILD_DIRECTORY

Prints each contradiction; exits with 1 if there is one.
"""

import pathlib
import re
import subprocess
import sys


def read(path):
    return pathlib.Path(path).read_text(encoding='utf-8')


def plain(scd):
    """The text of a manual page's source, without its marks."""
    return re.sub(r'\\([_*~.<>#-])', r'\1', scd)


def compare(what, here, there, want, have):
    for name in sorted(set(want) - set(have)):
        yield f'{what} {name} of {here} is not in {there}'
    for name in sorted(set(have) - set(want)):
        yield f'{what} {name} of {there} is not in {here}'


def check_events():
    text = read('daemon/log/events.h')
    events = dict(re.findall(r'X\(EVENT_\w+, "(\w+)", "([0-9a-f]+)"', text))
    ids = list(events.values())
    for name, event_id in events.items():
        if not re.fullmatch(r'[0-9a-f]{32}', event_id) or ids.count(event_id) != 1:
            yield f'daemon/log/events.h: MESSAGE_ID of {name} is malformed, or used twice'
    yield from compare('MESSAGE_ID', 'daemon/log/events.h', 'systemd/primaryd.catalog', ids,
                       re.findall(r'^-- ([0-9a-f]+)$', read('systemd/primaryd.catalog'), re.M))
    section = plain(read('man/primaryd.8.scd')).split('# EVENTS')[1].split('\n# ')[0]
    yield from compare('event', 'daemon/log/events.h', 'man/primaryd.8.scd', events, re.findall(r'^\*(\w+)\* \(', section, re.M))
    meanings = dict(re.findall(r'X\(EVENT_\w+, "(\w+)", [^"]*"[0-9a-f]+", \w+, \w+, \\\n\s+"([^"]*)"', text))
    for name, meaning in meanings.items():
        if meaning[1:] + '.' not in section:
            yield f'man/primaryd.8.scd: {name} does not mean what daemon/log/events.h says: {meaning}'


def check_catalog():
    """A subject and a reason; for a warning or worse also what to do; no field, which may be missing from the entry."""
    warnings = re.findall(r'X\(EVENT_\w+, "\w+", "([0-9a-f]+)", LOG_(?:EMERG|ERR|WARNING)', read('daemon/log/events.h'))
    for entry in re.split(r'^(?=-- [0-9a-f]{32}$)', read('systemd/primaryd.catalog'), flags=re.M)[1:]:
        head, _, body = entry.partition('\n\n')
        is_told = body.find('What to do: ') >= 20 or head[3:35] not in warnings
        if 'Subject: ' not in head or len(body) < 20 or not is_told or '@PRIMARYD' in entry:
            yield f'systemd/primaryd.catalog: {head.splitlines()[0]} lacks a subject, a reason or what to do, or has a field'


def check_fields():
    fields = re.findall(r'X\("(PRIMARYD_\w+)"', read('daemon/log/log.h'))
    section = plain(read('man/primaryd.8.scd')).split('# JOURNAL')[1].split('\n# ')[0]
    yield from compare('field', 'daemon/log/log.h', 'man/primaryd.8.scd', fields, re.findall(r'^\*(PRIMARYD_\w+)\*$', section, re.M))


def check_options(help_text):
    section = read('man/primaryd.8.scd').split('# OPTIONS')[1].split('\n# ')[0]
    told = re.findall(r'^  (--[a-z-]+)', help_text, re.M)
    yield from compare('option', '--help', 'man/primaryd.8.scd', told, re.findall(r'(--[a-z-]+)\*', section))
    yield from compare('option', '--help', 'systemd/completion/primaryd', told,
                       re.findall(r'--[a-z-]+', re.search(r"-W '([^']*)'", read('systemd/completion/primaryd'))[1]))


def keys_of_help(help_text):
    """{section.key: default}"""
    found, section = {}, ''
    for line in help_text.splitlines():
        match = re.fullmatch(r'\[(\w+)\]', line)
        section = match[1] if match else section
        match = re.fullmatch(r'  ([a-z-]+) = ?(.*)', line)
        if match and section:
            found[f'{section}.{match[1]}'] = match[2].strip()
    return found


def keys_of_page():
    found, section = {}, ''
    for line in read('man/primaryd.conf.5.scd').splitlines():
        match = re.fullmatch(r'# SECTION (\w+)', line)
        section = match[1].lower() if match else '' if line.startswith('# ') else section
        match = re.fullmatch(r'\*([a-z-]+)\* \(.*?, (?:default: (.*)|no default)\)', line)
        if match and section:
            found[f'{section}.{match[1]}'] = match[2] or ''
    return found


def keys_of_sample():
    found, section = {}, ''
    for line in read('conf/primaryd.conf').splitlines():
        match = re.fullmatch(r'\[(\w+)\]', line)
        section = match[1] if match else section
        match = re.fullmatch(r'#([a-z-]+) = ?(.*)', line)
        if match:
            found[f'{section}.{match[1]}'] = match[2].strip()
    return found


def check_keys(help_text):
    table = keys_of_help(help_text)
    if len(table) < 20:
        yield '--help lists hardly any key'
    for where, there in (('man/primaryd.conf.5.scd', keys_of_page()), ('conf/primaryd.conf', keys_of_sample())):
        yield from compare('key', 'the table', where, table, there)
        for key in set(table) & set(there):
            if table[key] != there[key]:
                yield f"{where}: the default of {key} is '{there[key]}', in the table '{table[key]}'"


def check_pages():
    """The pages are well-formed and say what every page says."""
    for path in sorted(pathlib.Path('man').glob('*.scd')):
        done = subprocess.run(['scdoc'], input=read(path), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            yield f'{path}: {done.stderr.strip()}'
        if not re.match(r'[a-z.-]+\([1-8]\)', read(path)) or '# NAME' not in read(path):
            yield f'{path}: no title or no NAME'


def anchors(path):
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r'^#+ (.*)$', read(path), re.M)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).strip().replace(' ', '-') for heading in headings}


def check_links():
    for path in map(pathlib.Path, ('README.md', 'CONTRIBUTING.md', 'SECURITY.md', *sorted(pathlib.Path('doc').glob('*.md')))):
        for link in re.findall(r'\]\(([^)\s]+)\)', read(path)):
            name, _, anchor = link.partition('#')
            target = path.parent / name if name else path
            if '://' not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
                yield f'{path}: nothing is at {link}'


def main(build):
    help_text = subprocess.run([f'{build}/daemon/primaryd', '--help'], capture_output=True, text=True, check=True).stdout
    offences = [*check_events(), *check_catalog(), *check_fields(), *check_options(help_text), *check_keys(help_text),
                *check_pages(), *check_links()]
    print('\n'.join(offences) or 'events, catalog, pages, options, keys and sample agree')
    return 1 if offences else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
