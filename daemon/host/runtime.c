/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guard/lease_file.h"
#include "state.h"

static int take_lock(struct runtime *r, int inherited_fd, char *message, size_t n_message)
{
	if (inherited_fd > STDERR_FILENO && state_lock_adopt(r->directory, inherited_fd) == 0) {
		r->lock_fd = inherited_fd;
		return 0;
	}
	return state_lock(r->directory, &r->lock_fd, message, n_message);
}

int runtime_open(struct runtime *runtime, const char *directory, const char *boot_id,
		 int inherited_fd, char *message, size_t n_message)
{
	int r;

	runtime->directory = directory;
	runtime->boot_id = boot_id;
	r = state_check_directory(directory, message, n_message);
	if (r == 0)
		r = take_lock(runtime, inherited_fd, message, n_message);
	if (r != 0)
		return r;
	r = lease_file_open(directory, boot_id, &runtime->lease, message, n_message);
	if (r < 0)
		(void)snprintf(message, n_message, "the lease file in %.160s: %s", directory,
			       strerror(-r));
	return r;
}

void runtime_close(struct runtime *runtime)
{
	runtime->lease = lease_file_close(runtime->lease);
}
