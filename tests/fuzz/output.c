/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/text.h"
#include "log/log.h"
#include "work/command_output.h"

struct seen {
	unsigned lines;
};

static void on_line(void *userdata, const char *line)
{
	struct seen *seen = userdata;
	char shown[LOG_TEXT_MAX];

	seen->lines++;
	PROMISE(strlen(line) < COMMAND_LINE_MAX + 4);
	text_escape_into(line, shown, sizeof(shown));
	for (const char *c = shown; *c; c++)
		PROMISE((unsigned char)*c >= ' ' && *c != 127);
}

/* What a command says, in pieces: the first byte of each is its length. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen seen = { .lines = 0 };
	struct command_output output;

	command_output_init(&output, on_line, &seen);
	while (size > 0) {
		size_t n = data[0] < size - 1 ? data[0] : size - 1;

		command_output_take(&output, (const char *)data + 1, n);
		data += 1 + n;
		size -= 1 + n;
	}
	command_output_flush(&output);
	return 0;
}
