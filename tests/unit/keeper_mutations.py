#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Breaks the keeper in one place at a time and looks whether test_keeper notices.

    tests/unit/keeper_mutations.py [NAME...]

Each mutation is applied to a copy of the keeper's files; a pattern that is not found exactly once is an error, so the table has to
follow the code. Prints a table; exits 1 if any mutation gets through. CC in the environment chooses the compiler.
"""
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CC = [*os.environ.get('CC', 'cc').split(), '-std=c11', '-D_GNU_SOURCE', '-O1', '-w', f'-I{TOP}/lib', f'-I{TOP}/daemon',
      f'-I{TOP}/daemon/work']

FILES = ('keeper.c', 'keeper_apply.c', 'keeper_table.c')

# name, what stands in the keeper, what stands there instead
MUTATIONS = [
    ('started without a guard', 'if (k->armed == KEEPER_ARMED && k->doing == KEEPER_DOES_NOTHING)',
     'if (k->doing == KEEPER_DOES_NOTHING)'),
    ('started at the end of the lease', 'result != KEEPER_OK || k->now_us >= keeper_start_by_us(s->config, k->lease_end_us)',
     'result != KEEPER_OK'),
    ('started without the lock', 'result != KEEPER_OK || k->now_us >= keeper_start_by_us(s->config, k->lease_end_us)',
     'k->now_us >= keeper_start_by_us(s->config, k->lease_end_us)'),
    ('work is up while the guard stops it', ' && state->trouble != KEEPER_TROUBLE_GUARD_ACTED;', ';'),
    ('a start goes on when the guard has acted', '(k->state == KEEPER_UP || k->state == KEEPER_STARTING) &&', 'k->state == KEEPER_UP &&'),
    ('a start that the guard has stopped succeeds', '|| s->state->trouble == KEEPER_TROUBLE_GUARD_ACTED', ''),
    ('a guard that died is not replaced', 'k->armed == KEEPER_UNARMED && k->now_us >= k->rearm_us', '0'),
    ('a start is answered after its stop', 'if (s->state->doing != KEEPER_DOES_START) return;', ''),
    ('stopped without the lock', 'keeper_ask(s, KEEPER_DO_LOCK); /* the guard has no time left for another one */', 'k->doing = KEEPER_DOES_TRY; keeper_say(s, KEEPER_DO_STOP);'),
    ('two tries at once', 'if (k->doing != KEEPER_DOES_NOTHING || k->now_us < k->next_us)', 'if (k->now_us < k->next_us)'),
    ('never killed', 'if (!stops(k)) return 0; if (!k->killed_us)', 'if (!stops(k)) return 0; if (0)'),
    ('killed at the end of the lease', 'lease_kill_due_us(k->stop_since_us, config->stop_timeout_us, k->lease_end_us,',
     'lease_kill_due_us(k->stop_since_us, 0, k->lease_end_us + 2000000,'),
    ('killed is down', 'k->stopped = k->stopped || k->cold;', 'k->stopped = 1;'),
    ('a stop that failed is a stop', 'if (result == KEEPER_OK || (k->cold', 'if (1 || (k->cold'),
    ('down with something left', 'if (result == KEEPER_OK) keeper_go_down(s);', 'if (1) keeper_go_down(s);'),
    ('down after a try that succeeded', 'if (k->stopped) { k->doing = KEEPER_DOES_CLEAN; keeper_say(s, KEEPER_DO_CLEAN); }',
     'if (k->stopped) { keeper_go_down(s); return 1; }'),
    ('the lock is kept', 'keeper_say(s, KEEPER_DO_UNLOCK); keeper_say(s, KEEPER_DO_DISARM);', 'keeper_say(s, KEEPER_DO_DISARM);'),
    ('the guard is dismissed when the stop begins', 'move(s, KEEPER_WAITING); }', 'move(s, KEEPER_WAITING); keeper_say(s, KEEPER_DO_DISARM); }'),
    ('never fenced', 'if (k->state != KEEPER_KILLING || k->fenced || k->cold || !k->lease_end_us)', 'if (1)'),
    ('fenced when it is killed', 'return lease_fence_due_us(k->killed_us, k->lease_end_us, config->lease_timeout_us);',
     'return k->stop_since_us;'),
    ('a lease before the start is ordered', 'if (keeper_may_run(k) && (k->armed', 'if (1 && (k->armed'),
    ('a start that was not begun is not stopped', 'if (k->wish == KEEPER_WANTS_STOP) { begin_stop(s); return true; } if (k->wish != KEEPER_WANTS_UP) return false; if (k->armed',
     'if (k->wish != KEEPER_WANTS_UP) { keeper_go_down(s); return true; } if (k->armed'),
    ('nobody is told that it is down', 'k->lease_end_us = 0; keeper_say(s, KEEPER_DO_TELL_DOWN);', ''),
    ('the guard acts while the lease lasts', 'return lease_end_us - config->lease_timeout_us;',
     'return lease_end_us - 2 * config->lease_timeout_us;'),
    ('the guard acts too late', 'return keeper_start_by_us(config, lease_end_us) + lease_kill_share_us(config->lease_timeout_us);',
     'return lease_end_us;'),
    ('the guard kills before the daemon is told', 'if (!s->config->guard || k->state != KEEPER_WAITING) begin_kill(s);',
     'if (1) begin_kill(s);'),
    ('the guard passes a stop over that runs', 'result == KEEPER_IDLE && s->config->guard &&', 's->config->guard &&'),
    ('the guard waits for a lock for ever', '/* Nothing is killed before the daemon is told. */ keeper_ask(s, KEEPER_DO_SEIZE);', ';'),
    ('the guard does not see that the lease is extended',
     'if (k->lease_end_us && k->now_us >= keeper_guard_acts_us(s->config, k->lease_end_us)) return false;', 'return false;'),
]


def run(command):
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def mutate(texts, name, old, new):
    # Formatting is free to change: any run of blanks matches any other.
    pattern = r'\s+'.join(re.escape(word) for word in old.split())
    found = sum(len(re.findall(pattern, text)) for text in texts.values())
    if found != 1:
        raise SystemExit(f'{name}: the pattern stands {found} times in the keeper, not once: {old}')
    return {file: re.sub(pattern, lambda _: new, text) for file, text in texts.items()}


def judge(directory, test, texts):
    """What test_keeper says of this keeper; None: it holds."""
    program = os.path.join(directory, 'test')
    for name, text in texts.items():
        with open(os.path.join(directory, name), 'w', encoding='utf-8') as file:
            file.write(text)
    done = run([*CC, *(os.path.join(directory, name) for name in texts), test, '-lcmocka', '-o', program])
    if done.returncode:
        raise SystemExit(done.stdout)
    done = run([program])
    if done.returncode == 0:
        return None
    found = re.search(r'broken: (.*), by|Assertion `(.*)\' failed', done.stdout)
    return found and (found[1] or found[2]) or done.stdout[-200:]


def main():
    chosen = [one for one in MUTATIONS if not sys.argv[1:] or one[0] in sys.argv[1:]]
    original = {}
    for name in FILES:
        with open(os.path.join(TOP, 'daemon', 'work', name), encoding='utf-8') as file:
            original[name] = file.read()
    missed = 0
    with tempfile.TemporaryDirectory() as directory:
        test = os.path.join(directory, 'test_keeper.o')
        done = run([*CC, '-c', os.path.join(TOP, 'tests', 'unit', 'test_keeper.c'), '-o', test])
        if done.returncode:
            raise SystemExit(done.stdout)
        for name, old, new in chosen:
            said = judge(directory, test, mutate(original, name, old, new))
            missed += said is None
            print(f'{name:<48} {said or "NOBODY NOTICED"}', flush=True)
    print(f'{len(chosen) - missed} passed, {missed} failed')
    sys.exit(1 if missed else 0)


main()
