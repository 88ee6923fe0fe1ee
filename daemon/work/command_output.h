/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes of a command's output, cut into lines and rationed. Pure but for the callback. For command.c. */

#include "command.h"

struct command_output {
	void (*on_line)(void *userdata, const char *line); /* NULL: everything is dropped */
	void *userdata;
	int64_t second_us; /* when the present ration began */
	unsigned n_second; /* lines handed on in it */
	int64_t hour_us;
	unsigned n_hour;
	uint64_t n_dropped; /* lines left out at all */
	uint64_t n_unsaid;  /* of them, not yet said */
	bool is_cut;	    /* the present line is full; its rest is skipped */
	size_t n;	    /* bytes in line */
	char line[COMMAND_LINE_MAX + 4];
};

void command_output_init(struct command_output *output,
			 void (*on_line)(void *userdata, const char *line), void *userdata);

/* Hands on every line that is complete by now. now_us: time_boot_us(). */
void command_output_take(struct command_output *output, const char *bytes, size_t n,
			 int64_t now_us);

/*
 * Most of what comes is left out at the moment: more lines than are handed on, or a line without an end. Who reads may
 * take its time.
 */
bool command_output_is_flooded(const struct command_output *output);

/* No more for now: hands on an unfinished last line, and says what was left out. */
void command_output_flush(struct command_output *output, int64_t now_us);
