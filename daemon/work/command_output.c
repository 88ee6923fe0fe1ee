/* SPDX-License-Identifier: Apache-2.0 */
#include "command_output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND_US INT64_C(1000000)
#define HOUR_US (3600 * SECOND_US)

void command_output_init(struct command_output *output,
			 void (*on_line)(void *userdata, const char *line), void *userdata)
{
	memset(output, 0, sizeof(*output));
	output->on_line = on_line;
	output->userdata = userdata;
}

static void say_dropped(struct command_output *output)
{
	char text[64];

	if (output->n_unsaid == 0 || output->on_line == NULL)
		return;
	(void)snprintf(text, sizeof(text), "(%" PRIu64 " lines of output left out)",
		       output->n_unsaid);
	output->n_unsaid = 0;
	output->on_line(output->userdata, text);
}

static bool take_ration(struct command_output *output, int64_t now_us)
{
	if (output->on_line == NULL)
		return false;
	if (output->n_hour == 0 || now_us - output->hour_us >= HOUR_US) {
		output->hour_us = now_us;
		output->n_hour = 0;
	}
	if (output->n_hour == COMMAND_LINES_PER_HOUR)
		return false;
	if (output->n_second == 0 || now_us - output->second_us >= SECOND_US) {
		say_dropped(output);
		output->second_us = now_us;
		output->n_second = 0;
	}
	if (output->n_second == COMMAND_LINES_PER_SECOND)
		return false;
	output->n_second++;
	output->n_hour++;
	return true;
}

static void end_line(struct command_output *output, int64_t now_us)
{
	size_t n = output->n;

	output->n = 0;
	if (n > 0 && output->line[n - 1] == '\r')
		n--;
	if (n == 0)
		return;
	if (!take_ration(output, now_us)) {
		output->n_dropped++;
		output->n_unsaid++;
		return;
	}
	(void)strcpy(output->line + n, output->is_cut ? "..." : "");
	output->on_line(output->userdata, output->line);
}

static void add_bytes(struct command_output *output, const char *bytes, size_t n)
{
	size_t room = COMMAND_LINE_MAX - output->n;

	if (n > room) {
		output->is_cut = true;
		n = room;
	}
	for (size_t i = 0; i < n; i++)
		output->line[output->n++] = bytes[i] != '\0' ? bytes[i] : '?';
}

void command_output_take(struct command_output *output, const char *bytes, size_t n, int64_t now_us)
{
	const char *end = bytes + n;

	while (bytes < end) {
		const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));

		add_bytes(output, bytes, (size_t)((newline != NULL ? newline : end) - bytes));
		if (newline == NULL)
			return;
		end_line(output, now_us);
		output->is_cut = false;
		bytes = newline + 1;
	}
}

bool command_output_is_flooded(const struct command_output *output)
{
	return output->n_unsaid > 0 || output->is_cut;
}

void command_output_flush(struct command_output *output, int64_t now_us)
{
	end_line(output, now_us);
	output->is_cut = false;
	say_dropped(output);
}
