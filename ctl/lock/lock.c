/* SPDX-License-Identifier: Apache-2.0 */

/*
 * lock: runs a command while a lock is held, and no longer.
 *
 * The lock's node is ephemeral: it goes with our session, and a client that is cut off does not learn when that ends.
 * So a lease is kept (lock/lease.h): every T/12 a transaction checks the lock's node. It changes nothing, but only a
 * quorum can commit it. Without such commits, the command is down before the session can expire.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timer.h"
#include "child.h"
#include "election/lease.h"
#include "key/key.h"
#include "lease.h"
#include "zk/lock/zkh_lock.h"

#define EPOCH_VARIABLE "PRIMARYD_LOCK_EPOCH"
#define EXIT_NOT_FOUND 127
#define EXIT_NOT_STARTED 126

/*
 * Of the time kept for stopping the command, the part kept for the kill. Half of that is our own: then the guard kills.
 */
#define KILL_SHARE 8

enum lock_phase {
	LOCK_ASKED,   /* waiting for it */
	LOCK_PROVING, /* held; the first renewal is awaited */
	LOCK_RUNNING,
	LOCK_ENDING, /* lost: the command is being stopped */
	LOCK_OVER,
};

struct lock_run {
	struct ctl *ctl;
	struct zkh_lock *lock;
	enum lock_phase phase;
	char path[ZKH_PATH_MAX]; /* of the lock's node */
	struct zkh_op *renewal;
	int64_t sent_us, next_us;
	bool cut, reattached;
	struct lock_lease lease;
	struct timer timer;
	int64_t kill_us;
	bool killed;
	struct child child;
	int result; /* of the acquire */
	int code;
	char lost[160]; /* why */
};

static void drive(struct lock_run *run);

/* -- the lease -- */

/* As much as the lease has for a stop. */
static int64_t stop_time_us(const struct lock_run *run)
{
	int64_t session_us = run->lease.session_us;

	return session_us / 3 - lease_margin_us(session_us);
}

static void set_guard(struct lock_run *run, int64_t kill_us)
{
	child_guard_until(&run->child, kill_us + stop_time_us(run) / KILL_SHARE / 2);
}

static int64_t lease_kill_us(const struct lock_run *run)
{
	return run->lease.end_us - stop_time_us(run) / KILL_SHARE;
}

static void end(struct lock_run *run, int64_t patience_us, const char *why)
{
	if (run->phase >= LOCK_ENDING)
		return;
	snprintf(run->lost, sizeof(run->lost), "%s", why);
	run->code = CTL_REFUSED;
	run->kill_us = time_boot_us() + patience_us;
	run->phase = child_runs(&run->child) ? LOCK_ENDING : LOCK_OVER;
	set_guard(run, run->kill_us);
	/* A stopped one would not hear it. */
	child_signal(&run->child, SIGTERM);
	child_signal(&run->child, SIGCONT);
}

/* Somebody else may have it already. */
static void end_lost(struct lock_run *run, const char *why)
{
	end(run, stop_time_us(run) / KILL_SHARE, why);
}

static void on_child_exit(void *userdata, int status)
{
	struct lock_run *run = userdata;

	if (run->phase == LOCK_RUNNING)
		run->code = child_exit_code(status);
	run->phase = LOCK_OVER;
	ev_break(run->ctl->loop, EVBREAK_ONE);
}

static void start_command(struct lock_run *run)
{
	char **argv = run->ctl->options.command;
	char epoch[32];
	int r;

	if (run->ctl->options.epoch) {
		snprintf(epoch, sizeof(epoch), "%" PRId64, zkh_lock_epoch(run->lock));
		setenv(EPOCH_VARIABLE, epoch, 1);
	}
	run->child.on_exit = on_child_exit;
	run->child.userdata = run;
	r = child_start(&run->child, run->ctl->loop, argv, lease_kill_us(run));
	set_guard(run, lease_kill_us(run));
	run->phase = LOCK_RUNNING;
	if (r == 0)
		return;
	ctl_error("cannot run %s: %s", argv[0], strerror(-r));
	run->code = r == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_STARTED;
	run->phase = LOCK_OVER;
}

static void on_renewed(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct lock_run *run = userdata;

	run->renewal = NULL;
	if (result == ZKH_OK) {
		lock_lease_open(&run->lease, run->sent_us, time_boot_us());
		if (run->phase == LOCK_RUNNING)
			set_guard(run, lease_kill_us(run));
		if (run->phase == LOCK_PROVING &&
		    time_boot_us() < run->lease.end_us - stop_time_us(run))
			start_command(run);
	} else if (result == ZKH_NO_NODE) {
		end_lost(run, "its key was deleted");
	}
	drive(run);
}

static void renew(struct lock_run *run)
{
	struct zkh_txn *txn = zkh_txn_create(run->ctl->session);

	if (!txn)
		return;
	run->sent_us = time_boot_us();
	run->next_us = run->sent_us + lease_renew_us(run->lease.session_us);
	zkh_txn_check(txn, run->path, ZKH_ANY_VERSION);
	if (zkh_commit(txn, on_renewed, run, &run->renewal) != 0)
		run->renewal = NULL;
}

static void keep_lease(struct lock_run *run, int64_t now_us)
{
	struct zkh_session *session = run->ctl->session;

	if (!zkh_session_connected(session))
		return;
	/* After a long wait the leader may not know of a recent touch: attaching anew is one. */
	if (run->phase == LOCK_PROVING && !run->reattached &&
	    !lock_lease_fresh(&run->lease, now_us)) {
		run->reattached = true;
		zkh_session_reattach(session);
		return;
	}
	if (!run->renewal && now_us >= run->next_us)
		renew(run);
	if (run->renewal && !run->cut &&
	    now_us >= run->sent_us + lease_cut_us(run->lease.session_us)) {
		run->cut = true;
		zkh_session_cut(session);
	}
}

static int64_t due_us(const struct lock_run *run)
{
	int64_t lease_us = run->lease.end_us - stop_time_us(run);
	int64_t next_us = run->next_us;

	if (run->phase == LOCK_ENDING)
		return run->killed ? 0 : run->kill_us;
	if (run->renewal)
		next_us = run->sent_us + lease_cut_us(run->lease.session_us);
	if (!zkh_session_connected(run->ctl->session) || (run->renewal && run->cut))
		next_us = INT64_MAX;
	if (run->phase == LOCK_RUNNING && lease_us < next_us)
		next_us = lease_us;
	return next_us == INT64_MAX ? 0 : next_us;
}

static void drive(struct lock_run *run)
{
	int64_t now_us = time_boot_us();

	/* First the lease, then the network. */
	if (run->phase == LOCK_RUNNING && now_us >= run->lease.end_us - stop_time_us(run)) {
		int64_t left_us = lease_kill_us(run) - now_us;

		end(run, left_us > 0 ? left_us : 0,
		    "ZooKeeper is out of reach, or commits too slowly for this session timeout");
	}
	if (run->phase == LOCK_PROVING || run->phase == LOCK_RUNNING)
		keep_lease(run, now_us);
	if (run->phase == LOCK_ENDING && !run->killed && now_us >= run->kill_us) {
		run->killed = true;
		child_signal(&run->child, SIGKILL);
	}
	if (run->phase != LOCK_OVER && run->phase != LOCK_ASKED && due_us(run))
		timer_set(&run->timer, due_us(run));
	else
		timer_clear(&run->timer);
}

static void on_timer(struct timer *timer, void *userdata)
{
	drive(userdata);
}

/* -- what happens -- */

static void on_session(void *userdata, const struct zkh_session_report *report)
{
	struct lock_run *run = userdata;

	if (report->event == ZKH_DISCONNECTED) {
		run->lease.down_us = time_boot_us();
	} else if (report->event == ZKH_CONNECTED) {
		run->cut = false;
		run->next_us = 0;
		lock_lease_attach(&run->lease, report->timeout_ms * INT64_C(1000));
	}
	drive(run);
}

static void on_lock(void *userdata, int result)
{
	struct lock_run *run = userdata;

	if (run->phase != LOCK_ASKED) {
		run->lock = NULL;
		end_lost(run, "its key is gone, or the session expired");
		drive(run);
		return;
	}
	run->result = result;
	if (result == ZKH_OK) {
		run->phase = LOCK_PROVING;
		snprintf(run->path, sizeof(run->path), "%s", zkh_lock_path(run->lock));
		drive(run);
	} else {
		run->lock = NULL;
		run->phase = LOCK_OVER;
	}
	ev_break(run->ctl->loop, EVBREAK_ONE);
}

static bool on_signal(void *userdata, int number)
{
	struct lock_run *run = userdata;

	if (!child_runs(&run->child))
		return false;
	child_signal(&run->child, number);
	return true;
}

/* -- the verb -- */

static bool is_decided(void *userdata)
{
	return ((struct lock_run *)userdata)->phase != LOCK_ASKED;
}

static bool is_over(void *userdata)
{
	return ((struct lock_run *)userdata)->phase == LOCK_OVER;
}

/* One attempt: run->result, or what to end with, said. */
static int ask(struct lock_run *run, enum zkh_lock_kind kind, const char *path)
{
	struct ctl *ctl = run->ctl;
	int64_t timeout_ms = ctl->options.has_timeout ? ctl->options.timeout_us / 1000 : -1;
	int r, code;

	run->phase = LOCK_ASKED;
	r = zkh_lock_acquire(ctl->session, kind, path, ctl_who(),
			     timeout_ms > INT32_MAX ? INT32_MAX : (int32_t)timeout_ms, on_lock, run,
			     &run->lock);
	if (r != 0)
		return ctl_explain_result(ctl, r, path);
	ctl->deadline_us = 0; /* the lock has its own */
	code = ctl_wait(ctl, is_decided, run);
	return code == CTL_DONE ? CTL_DONE : ctl_explain_wait(ctl, code, "waiting for the lock");
}

static int acquire(struct lock_run *run, enum zkh_lock_kind kind, const char *path)
{
	struct ctl *ctl = run->ctl;
	int code = ask(run, kind, path);

	/* The lock's key is made as it is needed; the root is above it. */
	if (code == CTL_DONE && run->result == ZKH_NO_NODE) {
		code = ctl_make_root(ctl, false);
		if (code == CTL_DONE)
			code = ask(run, kind, path);
	}
	if (code != CTL_DONE)
		return code;
	if (run->result == ZKH_TIMEOUT) {
		ctl_error(
			"%s: others hold the lock (primaryctl key list %s shows who; raise --timeout)",
			path, path);
		return CTL_TIMED_OUT;
	}
	if (run->phase == LOCK_OVER)
		return ctl_explain_result(ctl, run->result, path);
	return CTL_DONE;
}

static void finish(struct lock_run *run)
{
	struct ctl *ctl = run->ctl;

	ctl->on_session = NULL;
	ctl->on_signal = NULL;
	zkh_op_cancel(run->renewal);
	child_finish(&run->child);
	run->lock = zkh_lock_release(run->lock);
	timer_finish(&run->timer);
}

static int hold(struct lock_run *run, const char *path)
{
	int code = ctl_wait(run->ctl, is_over, run);

	if (code != CTL_DONE)
		return ctl_explain_wait(run->ctl, code, "confirming the lock");
	if (*run->lost)
		ctl_error("%s: the lock was lost: %s; %s was %s", path, run->lost,
			  run->ctl->options.command[0], run->killed ? "killed" : "stopped");
	return run->code;
}

int verb_lock(struct ctl *ctl)
{
	static const char *const kinds[] = { [ZKH_LOCK_EXCLUSIVE] = "exclusive",
					     [ZKH_LOCK_WRITE] = "write",
					     [ZKH_LOCK_READ] = "read" };
	static struct lock_run run;
	const char *word = ctl->options.arguments[0], *path = ctl->options.arguments[1];
	int kind = 0, code;

	if (!key_path_good(path))
		return CTL_USAGE;
	while (strcmp(kinds[kind], word) != 0)
		kind++;
	run.ctl = ctl;
	/* The session began after that: then its leader knew of it. */
	run.lease.down_us = ctl->started_us;
	lock_lease_attach(&run.lease, zkh_session_timeout_ms(ctl->session) * INT64_C(1000));
	if (timer_init(&run.timer, ctl->loop, EV_MAXPRI, on_timer, &run) < 0) {
		ctl_error("no timer: %s", strerror(errno));
		return CTL_REFUSED;
	}
	ctl->on_session = on_session;
	ctl->on_session_userdata = &run;
	ctl->on_signal = on_signal;
	ctl->on_signal_userdata = &run;
	code = acquire(&run, (enum zkh_lock_kind)kind, path);
	if (code == CTL_DONE)
		code = hold(&run, path);
	finish(&run);
	return code;
}
