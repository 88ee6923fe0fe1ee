/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The guard: a process of its own that keeps the lease when the daemon is dead, stopped or broken. It
 * knows no ZooKeeper and no configuration but its arguments:
 *
 *   primaryd-guard --runtime-directory DIR --lease-timeout DURATION
 *            [--self-fence none|reboot] [--node NAME] [--ready-fd FD] [-- RELINQUISH COMMAND...]
 *
 * Its program links nothing but the C library, statically, and locks all of its memory: neither a lost disk nor a lack
 * of memory keeps it from acting.
 *
 * With L the lease timeout (the lease file's, when the daemon has told one) it sleeps until
 * lease end - L + L/8: the daemon begins its own stop at lease end - L and so has precedence. Then it
 * reads the lease again. Extended: it sleeps on, so it wakes once a lease. Disarmed, or of a later
 * watch: it exits with 0. Over: it takes the work lock and looks once more, marks the lease file,
 * kills a takeover command that still runs, runs the relinquish command (again each second until
 * it ends with 0; killed at lease end - L/8), kills what is left of the work's process group, reboots the host if the
 * command did not end with 0 or something of the group is left and --self-fence says so, and exits with GUARD_ACTED.
 *
 * A stop that is under way (the lock is held, or the noted relinquish command runs) is let finish, at most
 * until lease end - L/8, then killed. A lock that is held without any command running (a stopped daemon)
 * is waited for until lease end - L/2, then passed over. Whoever holds the lock but finds the lease
 * file marked must start nothing.
 *
 * The relinquish command gets the environment that the daemon would give it (command_environment.h, script_facts.h).
 * --node not given: $PRIMARYD_NODE. A lease file that was cut or overwritten is acted on as if its lease was not extended
 * any more. A service tells systemd that it stops (STOPPING=1) once its command has ended with 0, or at once if it has
 * none, and exits at lease end - L/8: units that are bound to it are stopped in between, and killed afterwards
 * (OnFailure=). Without a command the mark stays LEASE_STOPPING. A child without a command exits at once.
 *
 * SIGTERM and SIGINT end it only when the lease is disarmed or of another watch; else it stays. SIGHUP is
 * ignored. It leaves the caller's session, keeps only descriptors 0 to 2 and FD, on which it writes one
 * byte when it watches (FD must be above 2). One guard at a time: it waits for DIR/guard.lock before that.
 * It never waits for its stderr.
 *
 * Started before there is a lease, it is on standby until it is called (SIGTERM) and finds one. Without FD it is a service, and
 * reports only then that it is ready: what is bound to it waits.
 */

enum guard_exit {
	GUARD_DISARMED = 0,
	GUARD_USAGE = 2,
	GUARD_ACTED = 3,
	GUARD_FAILED = 71, /* EX_OSERR: could not begin to watch */
};

#define GUARD_USAGE_TEXT                                                                            \
	"usage: primaryd-guard --runtime-directory DIR --lease-timeout DURATION\n"                  \
	"                      [--self-fence none|reboot] [--node NAME] [-- COMMAND...]\n"          \
	"\n"                                                                                        \
	"Stops the work of this node when its lease is not extended in time. Started by primaryd, " \
	"or as\nprimaryd-guard.service. See primaryd-guard(8)."

/* Returns an exit code. */
int guard_main(int argc, char *argv[]);
