/* SPDX-License-Identifier: Apache-2.0 */
#include "process_group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct process_group process_group_of(pid_t id)
{
	struct process_group group = { .id = id };

	if (id > 0) {
		group.session = getsid(id);
		if (group.session < 0)
			group.session = getsid(0);
	}
	return group;
}

/* NAMESAKE: dead and not reaped, or of a group of the same number in another session. */
enum membership { STRANGER, NAMESAKE, MEMBER };

/* Of the process with this number, a name in /proc. */
static enum membership membership(const char *number, struct process_group group)
{
	char path[64], stat[512];
	const char *p;
	char process_state;
	int id, session, fd;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/stat", number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) /* cannot tell: the worst */
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? MEMBER : STRANGER;
	n = read(fd, stat, sizeof(stat) - 1);
	(void)close(fd);
	if (n <= 0)
		return STRANGER;
	stat[n] = '\0';
	/* The command's name in parentheses may itself hold any character. */
	p = strrchr(stat, ')');
	if (p == NULL || sscanf(p + 1, " %c %*d %d %d", &process_state, &id, &session) != 3 ||
	    id != group.id)
		return STRANGER;
	/* The leader of a group cannot leave the session. */
	if (session != group.session || process_state == 'Z' || process_state == 'X')
		return NAMESAKE;
	return MEMBER;
}

bool process_group_leader_runs(struct process_group group)
{
	char number[16];

	if (group.id <= 0)
		return false;
	(void)snprintf(number, sizeof(number), "%d", (int)group.id);
	return membership(number, group) == MEMBER;
}

static bool is_gone(struct process_group group)
{
	return kill(-group.id, 0) < 0 && errno == ESRCH;
}

bool process_group_runs(struct process_group group)
{
	enum membership found = STRANGER;
	struct dirent *entry;
	pid_t session;
	DIR *proc;

	if (group.id <= 1 || is_gone(group))
		return false;
	proc = opendir("/proc");
	if (proc == NULL)
		return true; /* cannot tell: as the kernel said, there is somebody */
	while (found != MEMBER && (entry = readdir(proc)) != NULL) {
		enum membership is = STRANGER;

		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			is = membership(entry->d_name, group);
		if (is > found)
			found = is;
	}
	(void)closedir(proc);
	if (found != STRANGER || is_gone(group))
		return found == MEMBER;
	/*
	 * Nobody who may be seen has that number, and there is somebody: with ProtectProc=invisible, processes of other users and
	 * of other user namespaces are hidden in /proc.
	 */
	session = getsid(group.id);
	return session < 0 || session == group.session;
}

bool process_group_kill(struct process_group group)
{
	return process_group_runs(group) && kill(-group.id, SIGKILL) == 0;
}

void process_reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int signal = 1; signal < _NSIG; signal++)
		(void)sigaction(signal, &action, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

void process_set_oom(const char *value)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	n = write(fd, value, strlen(value));
	(void)n;
	(void)close(fd);
}
