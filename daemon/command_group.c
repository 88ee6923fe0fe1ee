/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Whether /proc/PID/stat tells of a live member of the group. */
static bool is_live_member(int proc, const char *pid, pid_t group)
{
	char path[64];
	char stat[512];
	const char *state;
	ssize_t n;
	int parent, its_group;
	int fd;

	(void)snprintf(path, sizeof(path), "%.16s/stat", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false; /* gone meanwhile */
	n = read(fd, stat, sizeof(stat) - 1);
	(void)close(fd);
	if (n <= 0)
		return false;
	stat[n] = '\0';
	/* "PID (NAME) STATE PARENT GROUP ...", and the name may hold anything. */
	state = strrchr(stat, ')');
	if (state == NULL || sscanf(state, ") %*c %d %d", &parent, &its_group) != 2)
		return false;
	return its_group == group && state[2] != 'Z' && state[2] != 'X';
}

bool command_group_exists(pid_t group)
{
	bool found = false;
	struct dirent *entry;
	DIR *proc;

	if (!command_group_signal(group, 0))
		return false;
	/* Somebody is there, but it may be a zombie that its new parent does not care for. */
	proc = opendir("/proc");
	if (proc == NULL)
		return true;
	while (!found && (entry = readdir(proc)) != NULL) {
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			found = is_live_member(dirfd(proc), entry->d_name, group);
	}
	(void)closedir(proc);
	return found;
}

bool command_group_signal(pid_t group, int signal)
{
	assert(group > 1);
	/* EPERM: there is somebody, who changed his user. */
	return kill(-group, signal) == 0 || errno == EPERM;
}
