/* SPDX-License-Identifier: Apache-2.0 */
#include "command_output.h"

#include <string.h>

void command_output_init(struct command_output *output,
			 void (*on_line)(void *userdata, const char *line), void *userdata)
{
	memset(output, 0, sizeof(*output));
	output->on_line = on_line;
	output->userdata = userdata;
}

static void end_line(struct command_output *output)
{
	size_t n = output->n;

	output->n = 0;
	if (n > 0 && output->line[n - 1] == '\r')
		n--;
	(void)strcpy(output->line + n, output->is_cut ? "..." : "");
	output->is_cut = false;
	if (n > 0 && output->on_line != NULL)
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

void command_output_take(struct command_output *output, const char *bytes, size_t n)
{
	const char *end = bytes + n;

	while (bytes < end) {
		const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));

		add_bytes(output, bytes, (size_t)((newline != NULL ? newline : end) - bytes));
		if (newline == NULL)
			return;
		end_line(output);
		bytes = newline + 1;
	}
}

void command_output_flush(struct command_output *output)
{
	end_line(output);
}
