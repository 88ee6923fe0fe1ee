/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tasks on keys, and how their failures are reported. */

#include "ctl.h"
#include "zk/tree/zkh_keys.h"

/* One task of zkh_keys.h and what it came to. */
struct key_task {
	struct zkh_task *task;
	bool over;
	int result;
	size_t deleted;		 /* keys that are gone, whatever the result */
	char path[ZKH_PATH_MAX]; /* that stood in the way */
};

void key_task_done(void *userdata, int result, const char *path); /* a zkh_task_fn */

/* r: what starting the task returned. Waits, and reports a failure; CTL_DONE or the exit code. path: named in messages. */
int key_task_wait(struct ctl *ctl, struct key_task *task, int r, const char *path,
		  const char *doing);

/* False: said. */
bool key_path_good(const char *path);
