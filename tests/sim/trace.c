/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>

/* The last lines of what happened. Only a run that is known to fail, or --trace, pays for them. */

#define LINES 250
#define LINE_LENGTH 256

static char lines[LINES][LINE_LENGTH];
static uint64_t count;

void trace_reset(void)
{
	count = 0;
}

void trace_line(struct sim *w, const char *format, ...)
{
	char *line = lines[count++ % LINES];
	va_list args;
	int length = snprintf(line, LINE_LENGTH, "%12.6f ", (double)w->now / 1e6);

	va_start(args, format);
	vsnprintf(line + length, (size_t)(LINE_LENGTH - length), format, args);
	va_end(args);
	if (w->options->trace)
		puts(line);
}

void trace_dump(void)
{
	uint64_t first = count > LINES ? count - LINES : 0;

	for (uint64_t i = first; i < count; i++)
		puts(lines[i % LINES]);
}
