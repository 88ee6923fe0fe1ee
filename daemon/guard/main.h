/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The guard: a separate process that keeps the lease when the daemon is dead, stopped or broken. It knows nothing about
 * ZooKeeper, and no configuration but its arguments:
 *
 *   primaryd-guard --runtime-directory DIR --lease-timeout DURATION
 *            [--self-fence none|reboot] [--node NAME] [--ready-fd FD] [-- RELINQUISH COMMAND...]
 *
 * The program links only the C library, statically, and locks all of its memory: neither a lost disk nor a lack of
 * memory keeps it from acting.
 *
 * Let L be the lease timeout (from the lease file, if the daemon has written one). The guard sleeps until lease end - L
 * + L/8: the daemon begins its own stop at lease end - L, and so has precedence. Then the guard reads the lease again.
 * - The lease was extended: it sleeps on, so it wakes once a lease.
 * - The lease was disarmed, or belongs to a later watch: it exits with 0; its stop, if one is under way, ends with it.
 * - The lease was not extended: it takes the work lock and looks once more, marks the lease file, kills a takeover
 *   command that still runs, and runs the relinquish command (again each second until it ends with 0; killed at lease
 *   end - L/8). Then it kills what is left of the work's process group, reboots the host if the command did not end
 *   with 0 or a process of the group is left and --self-fence says so, and exits with GUARD_ACTED.
 *
 * A stop that is under way (the lock is held, or the recorded relinquish command runs) may finish until lease end -
 * L/8, and is then killed. If the lock is held without any command running (a stopped daemon), the guard waits until
 * lease end - L/2, and then acts without the lock. A process that gets the lock and finds the lease file marked must
 * start nothing.
 *
 * The relinquish command gets the environment that the daemon would give it (command_environment.h, script_facts.h).
 * Without --node, the name is $PRIMARYD_NODE. A lease file that was truncated or overwritten counts as a lease that is
 * not extended.
 *
 * A service tells systemd that it stops (STOPPING=1) once its command has ended with 0, or at once without a command,
 * and exits at lease end - L/8: systemd stops the units that are bound to it in between, and kills them afterwards
 * (OnFailure=). The mark of a service stays LEASE_STOPPING: systemd knows what is down. A child without a command exits at
 * once.
 *
 * SIGTERM and SIGINT end the guard only if the lease is disarmed or belongs to another watch. SIGHUP is ignored. The
 * guard leaves the caller's session, and keeps only descriptors 0 to 2 and FD, to which it writes one byte when it
 * watches (FD must be above 2). Before that it waits for DIR/guard.lock, so that one guard runs at a time. It never
 * waits for its stderr: if that is a file, a process of its own writes there what the guard, and its command, say.
 *
 * A guard that is started before there is a lease is on standby until it gets SIGTERM and finds a lease. Without FD it
 * is a service and reports ready only then, so that units that are bound to it wait.
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
