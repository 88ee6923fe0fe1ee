/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/process_group.h"

bool command_group_exists(pid_t group)
{
	/* The cheap question first. When somebody answers it may be a zombie that nobody reaps. */
	return command_group_signal(group, 0) &&
	       process_group_runs((struct process_group){ .id = group, .session = getsid(0) });
}

bool command_group_signal(pid_t group, int signal)
{
	assert(group > 1);
	/* EPERM: there is somebody, who changed his user. */
	return kill(-group, signal) == 0 || errno == EPERM;
}
