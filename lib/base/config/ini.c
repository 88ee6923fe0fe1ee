/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <ini.h>
#include <stdio.h>
#include <string.h>

/*
 * inih cuts overlong lines, stops at NUL bytes and drops what follows a ']' without a word. So it
 * is fed line by line, each line checked before, and whether it made something of it checked after.
 */
struct reader {
	const struct config_ini_sink *sink;
	const char *next;
	const char *end;
	unsigned line;
	unsigned n_errors;
	bool indented; /* the present line starts with a blank */
	bool has_key;  /* an indented line continues a key */
	bool is_open;  /* the present line must lead to a value, and has not yet */
};

static void report(struct reader *reader, const char *msg)
{
	reader->n_errors++;
	reader->sink->on_error(reader->sink->userdata, reader->line, msg);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool check_bytes(struct reader *reader, const char *line, size_t n, size_t n_max)
{
	char msg[CONFIG_MSG_SIZE];

	if (n > n_max) {
		(void)config_msg(msg,
				 "the line has %zu bytes, %zu are allowed (continue servers and "
				 "commands in a line that starts with a blank; put long commands "
				 "into a script)",
				 n, n_max);
		report(reader, msg);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (line[i] == '\0') {
			report(reader, "the line holds a NUL byte (remove it)");
			return false;
		}
		if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f) {
			(void)config_msg(msg,
					 "the line holds the control character 0x%02x (remove it)",
					 (unsigned)(unsigned char)line[i]);
			report(reader, msg);
			return false;
		}
	}
	return true;
}

/* line: from its '['. A broken one is mended for inih: else the keys below would be blamed, too. */
static void take_section(struct reader *reader, char *line)
{
	size_t n = strcspn(line, "]");
	const char *end = line + n;

	if (*end == '\0') {
		report(reader, "the section has no closing bracket (write [NAME])");
		n = 1 + strcspn(line + 1, " \t");
	} else if (end[1 + strspn(end + 1, " \t")] != '\0' &&
		   !(is_blank(end[1]) && end[1 + strspn(end + 1, " \t")] == ';')) {
		report(reader, "something follows the section's bracket (start a new line)");
	}
	line[n] = '\0';
	reader->sink->on_section(reader->sink->userdata, reader->line, line + 1);
	memcpy(line + n, "]", 2);
}

/* Not every version of inih does it in lines that continue a value. */
static void cut_comment(char *line)
{
	for (char *p = line; (p = strchr(p, ';')) != NULL; p++) {
		if (p > line && is_blank(p[-1])) {
			*p = '\0';
			return;
		}
	}
}

static void take_line(struct reader *reader, char *line)
{
	static const char bom[] = "\xef\xbb\xbf";

	if (reader->line == 1 && strncmp(line, bom, sizeof(bom) - 1) == 0)
		line += sizeof(bom) - 1;
	reader->indented = is_blank(*line);
	line += strspn(line, " \t");
	if (*line == '\0' || *line == ';' || *line == '#')
		return;
	if (*line == '[' && !(reader->indented && reader->has_key)) {
		reader->has_key = false;
		take_section(reader, line);
		return;
	}
	reader->is_open = true;
	if (reader->indented && reader->has_key)
		cut_comment(line);
}

static void close_line(struct reader *reader)
{
	if (!reader->is_open)
		return;
	reader->is_open = false;
	report(reader,
	       "the line is not [SECTION], KEY = VALUE or a comment (comments start with ;)");
}

/* As fgets(), for inih. */
static char *read_line(char *buf, int n_buf, void *userdata)
{
	struct reader *reader = userdata;
	const char *newline;
	size_t n;

	close_line(reader);
	if (reader->next == reader->end || n_buf < 3)
		return NULL;
	reader->line++;
	newline = memchr(reader->next, '\n', (size_t)(reader->end - reader->next));
	n = (size_t)((newline != NULL ? newline : reader->end) - reader->next);
	if (n > 0 && reader->next[n - 1] == '\r')
		n--;
	/* inih's own bound is three less than its buffer. */
	buf[0] = '\0';
	if (check_bytes(reader, reader->next, n, (size_t)n_buf - 3)) {
		memcpy(buf, reader->next, n);
		buf[n] = '\0';
		take_line(reader, buf);
	}
	(void)strcat(buf, "\n");
	reader->next = newline != NULL ? newline + 1 : reader->end;
	return buf;
}

static int on_pair(void *userdata, const char *section, const char *key, const char *value)
{
	struct reader *reader = userdata;
	bool continued = reader->indented && reader->has_key;

	reader->is_open = false;
	reader->has_key = key[0] != '\0';
	reader->sink->on_value(reader->sink->userdata, reader->line, section, key, value,
			       continued);
	return 1;
}

void config_ini_parse(const char *text, size_t n_text, const struct config_ini_sink *sink)
{
	struct reader reader = {
		.sink = sink,
		.next = text,
		.end = text + n_text,
	};
	int r = ini_parse_stream(read_line, &reader, on_pair, &reader);

	/* Whatever it has not understood was said by us, line by line; else it is said now. */
	if (r != 0 && reader.n_errors == 0) {
		if (r > 0)
			reader.line = (unsigned)r;
		report(&reader, r > 0 ? "the line is malformed" : "out of memory");
	}
}
