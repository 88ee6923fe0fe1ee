/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whether polkit lets the daemon's user manage its units. Polkit tells that of others to root alone, and it tells it of
 * processes: so one of that user is made, which does nothing.
 */

#include "check.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work/bus.h"

#define SERVICE_USER "primaryd"
#define RULE "50-primaryd.rules"
#define SUBJECT "polkit"
#define REMEDY                                                                                     \
	"install " RULE " into /etc/polkit-1/rules.d; for another unit than primary.target add a " \
	"rule: primaryd-units(7)"

static _Noreturn void be(const struct passwd *user, pid_t parent, int ready)
{
	if (setgroups(0, NULL) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		_exit(1);
	/* A change of the user undoes it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	(void)!write(ready, "", 1);
	close_range(0, ~0U, 0);
	for (;;)
		pause();
}

/* A process of that user, or -errno. */
static pid_t start_process(const struct passwd *user)
{
	int ready[2];
	pid_t pid, self = getpid();
	char byte;
	ssize_t n;

	if (pipe(ready) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		be(user, self, ready[1]);
	n = pid < 0 ? -errno : 0;
	close(ready[1]);
	if (pid > 0) {
		n = read(ready[0], &byte, 1);
		if (n != 1) {
			kill(pid, SIGKILL);
			(void)waitpid(pid, NULL, 0);
			n = -EPERM;
		}
	}
	close(ready[0]);
	return n < 0 ? (pid_t)n : pid;
}

struct question {
	const char *unit, *verb;
};

static void ask(struct check *check, const struct passwd *user, pid_t pid,
		const struct question *questions, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct question *q = &questions[i];
		int r;

		if (!*q->unit)
			continue;
		r = check_unit_allowed(pid, user->pw_uid, q->unit, q->verb);
		if (r > 0)
			continue;
		if (r < 0)
			check_say(
				check, CHECK_ERROR, SUBJECT,
				"install and start polkit: systemd asks it for every user but root",
				"polkit cannot be asked whether the user %s may %s %s: %s",
				SERVICE_USER, q->verb, q->unit, strerror(-r));
		else
			check_say(check, CHECK_ERROR, SUBJECT, REMEDY,
				  "polkit does not let the user %s %s %s", SERVICE_USER, q->verb,
				  q->unit);
		return;
	}
	check_say(check, CHECK_OK, SUBJECT, "", "asked: it lets the user %s start and stop %s%s%s",
		  SERVICE_USER, questions[0].unit, *questions[2].unit ? ", restart and stop " : "",
		  questions[2].unit);
}

/* A late unit is killed by the user itself, or by a service that it may start. */
static void ask_for_kill(struct check *check, const struct passwd *user, pid_t pid,
			 const char *unit)
{
	char killer[512];

	snprintf(killer, sizeof(killer), "%s@%s.service", BUS_KILLER, unit);
	if (check_unit_allowed(pid, user->pw_uid, unit, "kill") != 0 ||
	    check_unit_allowed(pid, user->pw_uid, killer, "start") != 0)
		return;
	check_say(
		check, CHECK_WARNING, SUBJECT, REMEDY,
		"polkit does not let the user %s kill %s, nor start %s: one that stops late is not killed",
		SERVICE_USER, unit, killer);
}

/* What others than root can see. */
static void look_for_rule(struct check *check, const char *unit)
{
	static const char *const places[] = { "/etc/polkit-1/rules.d/" RULE,
					      "/usr/share/polkit-1/rules.d/" RULE,
					      "/usr/local/share/polkit-1/rules.d/" RULE };
	const char *found = NULL;
	bool hidden = false;

	for (size_t i = 0; i < sizeof(places) / sizeof(*places) && !found; i++) {
		if (access(places[i], F_OK) == 0)
			found = places[i];
		else
			hidden = hidden || errno == EACCES;
	}
	if (found)
		check_say(
			check, CHECK_NOTE, SUBJECT, "run this as root",
			"%s is there; whether it lets the user %s start and stop %s was not asked: polkit tells that to root alone",
			found, SERVICE_USER, unit);
	else if (hidden)
		check_say(
			check, CHECK_NOTE, SUBJECT, "run this as root",
			"not checked whether the user %s may start and stop %s: polkit's rules are hidden from this user, and it answers to root alone",
			SERVICE_USER, unit);
	else
		check_say(
			check, CHECK_WARNING, SUBJECT, REMEDY,
			"there is no " RULE
			"; whether another rule lets the user %s start and stop %s was not asked: polkit tells that to root alone",
			SERVICE_USER, unit);
}

void check_permission(struct check *check, const char *unit, const char *guard)
{
	const struct question questions[] = {
		{ unit, "start" }, { unit, "stop" }, { guard, "restart" }, { guard, "stop" }
	};
	struct passwd *user = getpwnam(SERVICE_USER);
	unsigned errors = check->errors;
	pid_t pid;

	if (!user) {
		check_say(check, CHECK_NOTE, SUBJECT, "",
			  "no user %s: run as root, primaryd needs no permission for its units",
			  SERVICE_USER);
		return;
	}
	if (geteuid() != 0) {
		look_for_rule(check, unit);
		return;
	}
	pid = start_process(user);
	if (pid < 0) {
		check_say(
			check, CHECK_WARNING, SUBJECT, "run this on the host itself",
			"not checked whether the user %s may start and stop %s: no process of that user can be made (%s)",
			SERVICE_USER, unit, strerror(-(int)pid));
		return;
	}
	ask(check, user, pid, questions, sizeof(questions) / sizeof(*questions));
	if (check->errors == errors)
		ask_for_kill(check, user, pid, unit);
	kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}
