#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Breaks the election in one place at a time and looks whether the simulator, or else the checker, notices.

    tests/sim/mutations.py [--sample N] BUILD_DIR [NAME...]

--sample N: only N of those that are soon seen, drawn anew each time.

Each mutation is applied to a copy of the core's sources, or of what else is linked of the daemon (a pattern that is not
found exactly once is an error: the table has to follow the code), or is a switch of the simulator, whose world is not as the
daemon relies on it. Prints a table; exits 1 if any mutation gets through. CC in the environment chooses the compiler, JOBS
how many compilers run at once.
"""
import argparse
import concurrent.futures
import glob
import os
import random
import re
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(TOP, 'tests', 'sim')
with open(os.path.join(HERE, 'meson.build'), encoding='utf-8') as build_file:
    SHELL = re.findall(r"'\.\./\.\./(.*\.c)'", build_file.read())  # of the product, beside the core: what the simulator links
CORE = [f'lib/election/{name}.c' for name in ('election', 'acting', 'apply', 'inbox', 'leasing', 'table', 'survivor')]
CFLAGS = ['-std=c11', '-D_GNU_SOURCE', '-DPRIMARYD_VERSION=""', '-O2', '-w']
OF_SHELL = ['-Dgetrandom=sim_getrandom', '-Delection_step=sim_election_step', '-Dreboot=sim_reboot']
LAST_SOON = 'after a deletion nothing is waited for'  # of the table: what follows takes minutes to be seen
STEPS = '100000000'  # bound of one simulation; most mutations are seen within the first hundred thousand
CHECKS = (['--nodes', '2', '--faults', '1', '--only', 'work', '--orders', '1', '--states', '1000000'],
          ['--nodes', '2', '--faults', '1', '--orders', '0', '--states', '1000000'])


class Mutation:
    def __init__(self, name, file=None, old=None, new='', switches=(), options=(), also=()):
        """options: of the simulator, which bring the case about more often. also: more of (file, old, new)."""
        self.name, self.edits = name, [*([(file, old, new)] if file else []), *also]
        self.switches = [*options, *(word for switch in switches for word in ('--mutate', switch))]


BLIND_TERM = [('term.c', 'stat->ephemeral_owner == zkh_session_id(term->session)', '1')]
OLD_STATE = [('kept.c', 'left->generation == lease_file_generation(kept->lease)', '1'),
             ('life.c', 'resume->epoch == lease_file_epoch(node->lease) &&', '')]

MUTATIONS = [
    Mutation('claim without the version check', switches=['claim-without-version']),
    Mutation('takeover without the version check', switches=['enter-without-version']),
    Mutation('renewal by a read', switches=['renew-by-read']),
    Mutation('no guard', switches=['no-guard']),
    Mutation('guard acts at the end of the lease only', 'keeper.c',
             'return keeper_start_by_us(config, lease_end_us) +\n\t       lease_kill_share_us(config->lease_timeout_us);', 'return lease_end_us;'),
    Mutation('a guard that died is not replaced', 'keeper.c', 'k->armed == KEEPER_UNARMED && k->now_us >= k->rearm_us', '0'),
    Mutation('work is stopped without the lock', 'keeper.c', 'keeper_ask(s, KEEPER_DO_LOCK); /* the guard has no time left for another one */',
             '{ k->doing = KEEPER_DOES_TRY; keeper_say(s, KEEPER_DO_STOP); }'),
    Mutation('work is down although something is left', 'keeper_apply.c', '\tif (result == KEEPER_OK)\n\t\tkeeper_go_down(s);', '\tif (1)\n\t\tkeeper_go_down(s);'),
    Mutation('the status page says primary until the end of the lease', 'show.c',
             'election_primary_until_us(show->rules, show->election) : 0', 'show->election->lease_end_us : 0'),
    Mutation('the status page is withdrawn after the stop', 'show.c', 'if (show->page) status_page_withdraw(show->page);', ''),
    Mutation('who has no sign of life is dead, even if it acts', 'view.c', 'view->slots[VIEW_POST].known && view->post_owner > 0 &&', '0 &&'),
    Mutation('the post of another is taken for the own', 'view.c',
             'view->post_owner == zkh_session_id(view->session) ? POST_MINE : POST_OTHER', 'POST_MINE'),
    Mutation('deleted keys are not made again', 'repair.c', 'if (c->repair.refused) return;', 'return;'),
    Mutation('a node waits although no other is preferred', 'election.c', 'e->now_us >= e->deadline_us || e->peers == PEERS_NONE', 'e->now_us >= e->deadline_us'),
    Mutation('an absent node is waited for', 'peers.c', 'c.online = stat && stat->ephemeral_owner;', 'c.online = true;'),
    Mutation('the rank of others is not looked at', 'peers.c', 'detail.rank > peers->above', 'true'),
    Mutation('a preferred node does not go first', 'peers.c', 'detail.rank > peers->above', 'false'),
    Mutation('lock nodes of the former process stay', 'cleanup.c', 'else remove_locks(cleanup);', 'else cleanup->locks_gone = true;'),
    Mutation('stop budget ignored', 'leasing.c',
             'return e->lease_end_us - config->lease_timeout_us;', 'return e->lease_end_us;'),
    Mutation('work is never killed', 'keeper.c', '\tkeeper_say(s, KEEPER_DO_KILL);', '\t;'),
    Mutation('lease from the answer, not from the sending', 'apply.c',
             'e->proof_us = event->time_us;', 'e->proof_us = e->now_us;'),
    Mutation('lease never judged', 'leasing.c', 'return e->lease_end_us - config->lease_timeout_us;',
             'return e->lease_end_us + 3600000000;'),
    Mutation('resume believes in a lease of its own', 'apply.c',
             'e->lease_end_us = event->lease_end_us;', 'e->lease_end_us = e->now_us + 60000000;'),
    Mutation('resume without stopping half-started work', 'apply.c',
             'if (event->resume != RESUME_PRIMARY || !e->lease_end_us || !e->term_us)',
             'if (!e->lease_end_us || !e->term_us)', options=['--often', 'daemon killed']),
    Mutation('transition delay shorter than the lock timeout', 'election.c',
             'return from == PHASE_ENTER ? now_us : now_us + c->transition_delay_us;',
             'return now_us + c->lock_timeout_us / 4;'),
    Mutation('post released before the work is down', 'election.c',
             'if (e->work != WORK_DOWN)\n\t\treturn false;\n\te->lease_end_us', 'e->work = WORK_DOWN;\n\te->lease_end_us'),
    Mutation('hand-back forgotten', 'election.c',
             'bool may = e->phase == PHASE_FOLLOW', 'bool may = 0 && e->phase == PHASE_FOLLOW'),
    Mutation('reclaim forgotten', 'acting.c', 'election_do(s, OP_RECLAIM, e->view.key_version);', ';'),
    Mutation('no penalty after a failed takeover', 'apply.c',
             'e->penalty_until_us = e->now_us + (s->config->penalty_us << e->failures);', ''),
    Mutation('the dead are not looked for', 'apply.c', 'e->corpses = event->count;', 'e->corpses = 0;'),
    Mutation('a node without its sign of life contends', 'table.c',
             'state->registered && !state->view.absent', 'state->registered'),
    Mutation('a failed fence is passed over', 'apply.c', 'e->fence_failed = 1;', 'e->corpses = 0;'),
    Mutation('maintenance ignored', 'table.c',
             'if (c->maintenance)\n\t\tbits |= OBSTACLE_MAINTENANCE;', ''),
    Mutation('a successor is not made way for', 'acting.c',
             'if (phase == PHASE_YIELD && e->view.key == KEY_OTHER && e->now_us >= e->deadline_us)', 'if (0)'),
    Mutation('a renewal counts whosever the post is', 'apply.c',
             'if (e->view.post == POST_MINE && (e->phase != PHASE_STOP || e->lease_end_us)) {',
             'if (e->phase != PHASE_STOP || e->lease_end_us) {', switches=['renewal-without-epoch'], also=BLIND_TERM),
    Mutation('a renewal counts before the post is known', 'apply.c',
             'if (!e->proof_us || e->view.post == POST_UNKNOWN) return; if (e->view.post == POST_MINE &&',
             'if (!e->proof_us) return; if (e->view.post != POST_OTHER &&', switches=['renewal-without-epoch'], also=BLIND_TERM),
    Mutation('the term is as long as the last server grants', 'leasing.c',
             'sent_us + lease_length_us(e->term_us);', 'sent_us + lease_length_us(e->session_us);',
             options=['--unequal-servers']),
    Mutation('work starts on what was sent before the wait was over', 'acting.c', 'if (!lease_proves(e, e->waits_over_us)) {', 'if (0) {'),
    Mutation('a live node that acts is not waited for', 'apply.c',
             'if (event->result == RESULT_CONFLICT) {\n\t\te->waits_over_us = e->now_us;\n\t\tretry_later(s);\n\t\treturn;\n\t}\n\tif (event->result != RESULT_OK) {',
             'if (event->result > RESULT_CONFLICT) {'),
    Mutation('the epoch is that of the claim', 'election.c',
             'return e->view.key_mzxid > e->view.epoch ? e->view.key_mzxid : e->view.epoch + 1;',
             'return e->view.key_mzxid;'),
    Mutation('a survivor counts from its first sight of the node', 'survivor.c', 'if (note && note->mzxid == mzxid)', 'if (note)'),
    Mutation('a survivor waits for its own lease', 'recovery.c', 'read ? node->term.lease_us : 0);', 'recovery->session_us * 2 / 3);', options=['--unequal-servers']),
    Mutation('a deleted keepalive is not made again', 'term.c', 'term->makes = term->made % OWN_KEY_MAKES_MAX + 1;', '',
             options=['--often', 'keepalive deleted']),
    Mutation('a restored ensemble is taken for the known one', 'identity.c',
             'seen->generation == known->generation && identity_is_older(known, seen)', '0',
             options=['--often', 'ensemble set back']),
    Mutation('a keepalive promises the own lease only', 'term.c', 'term->debt_us, now_us)', '0, now_us)',
             options=['--unequal-servers', '--often', "node's keys deleted", '--often', 'post deleted']),
    Mutation('after a deletion nothing is waited for', 'recovery.c',
             'if (!recovery->untold_us) recovery->untold_us = untold_us;', '(void)untold_us;'),
    Mutation('a takeover command does not look at the clock', switches=['start-without-a-look-at-the-clock']),
    Mutation('what was known before the connection was lost counts', 'view.c', 'view->slots[i].known = false;', ';',
             options=['--often', 'path silent', '--often', 'switchover']),
    Mutation('a refused release is tried for ever', 'answers.c', 'if (op == OP_LEAVE) zkh_session_renew(c->session);', '',
             options=['--refusals']),
    Mutation('no release of the post by a node that may not register', 'election.c',
             'else if (e->attached && e->view.post == POST_MINE && e->view.epoch_known)', 'else if (0)', options=['--refusals']),
    Mutation('terms of before are not waited for', 'acting.c', 'if (e->corpses < 0 || e->now_us < e->waits_over_us)', 'if (e->corpses < 0)'),
    Mutation('a change that was not told is not looked for', 'zkh_mirror.c', 'mirror && mirror->current && !mirror->op',
             '0', options=['--often', 'reads refused']),
    Mutation('a renewal counts, whoever has the post', 'term.c', 'stat->ephemeral_owner == zkh_session_id(term->session)', '1',
             options=['--often', 'reads refused', '--often', 'root deleted']),
    Mutation('a renewal at any version', switches=['renewal-at-any-version'],
             options=['--often', 'second process on one session']),
    Mutation('a foreign nonce goes on', 'term.c', 'if (!own) {', 'if (0) {', switches=['foreign-nonce-goes-on'],
             options=['--often', 'second process on one session']),
    Mutation('an old state is believed', also=OLD_STATE,
             options=['--nodes', '2', '--often', 'state not saved', '--often', 'daemon killed']),
    Mutation('a takeover that cannot be saved is sent', 'node.c', 'kept_enter(&node->kept) < 0', 'kept_enter(&node->kept) < -4096',
             also=OLD_STATE, options=['--nodes', '2', '--often', 'state not saved', '--often', 'daemon killed']),
    Mutation('half-stopped work is resumed', 'kept.c', 'kept->election->phase == PHASE_STOP && kept->saved.work', '0 && kept->saved.work',
             options=['--often', 'state not saved', '--often', 'daemon killed']),
    Mutation('a lease that the guard did not see counts', 'work.c', 'if (!lease_file_set(work->lease, end_us)) {',
             'if (!lease_file_set(work->lease, end_us) && 0) {', options=['--often', 'daemon stopped within a step']),
    Mutation('a stop begins though the guard has begun one', 'work.c', 'script_heed_mark(&work->relinquish);', '',
             options=['--often', 'daemon stopped within a step', '--often', 'path silent']),
    Mutation('something is published after the farewell', 'own_state.c', '!c->election->registered || c->farewell',
             '!c->election->registered', options=['--often', 'ensemble set back', '--often', 'orderly shutdown']),
    Mutation('the stop of the process before goes on beside the own', 'work.c',
             'if (!script_is_running(&work->relinquish))', 'if (0)', options=['--often', 'daemon killed', '--often', 'stop hung']),
    Mutation('the takeover of the process before goes on beside the stop', 'work.c',
             'if (!script_is_running(&work->takeover))', 'if (0)', options=['--often', 'daemon killed']),
    Mutation('a release without the epoch check', switches=['release-without-epoch'],
             options=['--nodes', '4', '--often', 'post deleted', '--often', 'lagging follower']),
    Mutation('the age of a term is taken from the last sight', 'survivor.c',
             'if (note && note->mzxid == mzxid)\n\t\treturn;', ''),
    Mutation('the owner before is believed, whatever he left', 'recovery.c',
             'return node->suspect || is_before(node->recovery, node->name);', 'return node->suspect;',
             options=['--often', "node's keys deleted", '--often', 'session closed by somebody else']),
    Mutation('an own epoch that is not known is believed', 'debt.c', 'if (epoch == own_epoch)', 'if (1)',
             options=['--often', 'node replaced by another machine', '--often', "node's keys deleted"]),
    Mutation('a registration sets no floor', 'repair.c', 'c->view.floor_epoch = c->registration.zxid;', ';',
             options=['--often', 'epoch deleted', '--often', 'highest epoch forgotten']),
    Mutation('a renewal proves a lease from its answer on', 'term.c',
             'term->on_renewed(term->userdata, RESULT_OK, renewal->sent_us);', 'term->on_renewed(term->userdata, RESULT_OK, time_boot_us());'),
    Mutation('a raised epoch names nobody', 'registration.c', '"%" PRId64 " " NAME_NONE', '"%" PRId64 " " NAME_NOBODY',
             options=['--often', 'epoch deleted', '--often', 'highest epoch forgotten']),
    Mutation('an emptied ensemble is taken for the known one', 'identity.c', 'return *known->id ? IDENTITY_NO_ID : IDENTITY_FINE;',
             'return IDENTITY_FINE;',
             options=['--often', 'ensemble set back']),
    Mutation('older data are told by the key alone', 'ensemble.c', 'else if (e->state == ENSEMBLE_OPEN && identity_is_older(&e->known, &e->seen))',
             'else if (0)', options=['--often', 'ensemble set back', '--often', 'daemon killed', '--often', 'slow commits', '--often', 'path silent']),
    Mutation('an accepted ensemble is refused until the daemon is started anew', 'ensemble.c', 'leave(e); } /* -- verdicts', '} /* -- verdicts',
             options=['--often', 'ensemble set back']),
    Mutation('another ensemble is written to', 'ensemble.c', 'if (was_open) leave(e);', '',
             also=[('cluster.c', 'else if (news == ENSEMBLE_IS_FOREIGN) cluster_give_up(c);', '')],
             options=['--often', 'ensemble set back']),
]


def run(command, **options):
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          **options)


def compile_all(jobs):
    """jobs: (source, object, include directories, flags...)."""
    def one(job):
        source, target, includes, *more = job
        flags = [*more, *(f'-I{directory}' for directory in includes)]
        done = run([*os.environ.get('CC', 'cc').split(), *CFLAGS, *flags, '-c', source, '-o', target])
        if done.returncode:
            raise SystemExit(f'{source}: does not compile\n{done.stdout}')
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get('JOBS', '2'))) as pool:
        list(pool.map(one, jobs))


class Bench:
    """Objects of the two judges, compiled once from the sources as they are."""

    def __init__(self, build):
        self.work = os.path.join(build, 'mutations')
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        tests = sorted(glob.glob(os.path.join(HERE, '*.c')))
        self.includes = [os.path.join(TOP, 'lib'), os.path.join(TOP, 'daemon'), TOP, HERE]
        product = [os.path.join(TOP, source) for source in [*SHELL, *CORE]]
        compile_all([(source, self.object(source), self.includes, *self.flags(source)) for source in [*tests, *product]])
        self.shell, self.core = ({os.path.basename(source): self.object(os.path.join(TOP, source)) for source in part}
                                for part in (SHELL, CORE))
        self.check = [self.object(s) for s in tests if os.path.basename(s).startswith('check')]
        self.sim = [self.object(s) for s in tests if not os.path.basename(s).startswith('check')]

    def object(self, source):
        return os.path.join(self.work, os.path.relpath(source, TOP).replace('/', '-')[:-2] + '.o')

    @staticmethod
    def flags(source):
        return OF_SHELL if os.path.relpath(os.path.join(TOP, source), TOP) in SHELL else []

    def compile_mutated(self, directory, mutation):
        """The objects of the core and of SHELL, where the mutation's files take the place of those that they are copied from."""
        core, shell = dict(self.core), dict(self.shell)
        os.makedirs(directory)
        for file, old, new in mutation.edits:
            objects = shell if file in shell else core
            source = next(path for path in [*SHELL, *CORE] if os.path.basename(path) == file)
            copy = os.path.join(directory, file)
            shutil.copy(os.path.join(TOP, source), copy)
            self.mutate(mutation.name, copy, old, new)
            objects[file] = copy[:-2] + '.o'
            compile_all([(copy, objects[file], [os.path.join(TOP, os.path.dirname(source)), *self.includes], *self.flags(source))])
        return core, shell

    @staticmethod
    def mutate(name, path, old, new):
        with open(path, encoding='utf-8') as file:
            text = file.read()
        # Formatting is free to change: any run of blanks matches any other.
        pattern = r'\s+'.join(re.escape(word) for word in old.split())
        if len(re.findall(pattern, text)) != 1:
            raise SystemExit(f'{name}: the pattern stands {len(re.findall(pattern, text))} times in '
                             f'{os.path.basename(path)}, not once: {old}')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(re.sub(pattern, lambda _: new, text))

    def link(self, name, objects, core):
        target = os.path.join(self.work, name)
        done = run([*os.environ.get('CC', 'cc').split(), *objects, *core.values(), '-o', target])
        if done.returncode:
            raise SystemExit(done.stdout)
        return target


def judge(bench, number, mutation):
    """Who caught it, where, and what was seen; or None."""
    core, shell = bench.compile_mutated(os.path.join(bench.work, str(number)), mutation)
    sim = bench.link(f'sim-{number}', [*bench.sim, *shell.values()], core)
    said = run([sim, '--steps', STEPS, *mutation.switches])
    found = re.search(r'^FAILED: (seed \d+), step \d+, [\d.]+ s: (.*)$', said.stdout, re.MULTILINE)
    if said.returncode == 1 and found:
        what = found.group(2)
        asserted = re.search(r'Assertion `(.*)\' failed', said.stdout)
        return 'simulator', found.group(1), f'assertion {asserted.group(1)}' if asserted else what
    if not bench.check or not mutation.edits or any(file in shell for file, _, _ in mutation.edits):
        return None
    check = bench.link(f'check-{number}', bench.check, core)
    for options in CHECKS:
        said = run([check, *options])
        if said.returncode:
            lines = [line for line in said.stdout.splitlines() if line.strip()]
            moves = re.search(r'(\d+) moves?:', said.stdout)
            what = next((line for line in lines if 'FAIL' in line or 'broken' in line or 'Assertion' in line), lines[-1])
            return 'checker', f'{moves.group(1)} moves' if moves else '-', what.strip()
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--sample', type=int)
    parser.add_argument('build')
    parser.add_argument('names', nargs='*')
    arguments = parser.parse_args()
    chosen = [m for m in MUTATIONS if not arguments.names or m.name in arguments.names]
    if arguments.sample:
        soon = chosen[:[m.name for m in chosen].index(LAST_SOON) + 1]
        chosen = random.SystemRandom().sample(soon, min(arguments.sample, len(soon)))
    bench = Bench(arguments.build)
    missed = 0
    print(f'{"mutation":<60} {"caught by":<10} {"where":<12} what')
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get('JOBS', '2'))) as pool:
        verdicts = pool.map(lambda job: judge(bench, *job), enumerate(chosen))
        for mutation, verdict in zip(chosen, verdicts):
            missed += verdict is None
            by, where, what = verdict or ('NOBODY', '', '')
            print(f'{mutation.name:<60} {by:<10} {where:<12} {what[:110]}', flush=True)
    print(f'{len(chosen) - missed} passed, {missed} failed')
    sys.exit(1 if missed else 0)


main()
