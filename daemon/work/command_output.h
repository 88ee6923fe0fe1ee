/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes of a command's output, cut into lines. Pure but for the callback. For command.c. */

#include "command.h"

struct command_output {
	void (*on_line)(void *userdata, const char *line); /* NULL: everything is dropped */
	void *userdata;
	bool is_cut; /* the present line is full; its rest is skipped */
	size_t n;    /* bytes in line */
	char line[COMMAND_LINE_MAX + 4];
};

void command_output_init(struct command_output *output,
			 void (*on_line)(void *userdata, const char *line), void *userdata);

/* Hands on every line that is complete by now. */
void command_output_take(struct command_output *output, const char *bytes, size_t n);

/* No more for now: hands on an unfinished last line. */
void command_output_flush(struct command_output *output);
