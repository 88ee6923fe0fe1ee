/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct splitter {
	const char *in;
	char *out;
	char *msg;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* What only a shell would understand would else be handed to the command as an argument. */
static bool is_shell_word(const char *word)
{
	static const char *const words[] = { "|", "||", "&", "&&", ">", ">>", "<", "2>", "2>&1" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i]) == 0)
			return true;
	}
	return false;
}

/* in stands at the first character of an argument; afterwards behind its last. */
static int split_argument(struct splitter *s)
{
	char *start = s->out;
	bool in_quotes = false;
	bool is_plain = true;

	if (*s->in == '#')
		return config_msg(s->msg, "an argument starts with # (comments start with ;, in an "
					  "argument write \\#)");
	for (; *s->in != '\0' && (in_quotes || !is_blank(*s->in)); s->in++) {
		if (*s->in == '"') {
			in_quotes = !in_quotes;
			is_plain = false;
			continue;
		}
		if (*s->in == '\'' && !in_quotes)
			return config_msg(s->msg, "has a single quote (use double quotes, or \\')");
		if (*s->in == '\\') {
			is_plain = false;
			s->in++;
			if (*s->in == '\0')
				return config_msg(s->msg,
						  "ends with a backslash (write \\\\ for one)");
		}
		*s->out++ = *s->in;
	}
	*s->out++ = '\0';
	if (in_quotes)
		return config_msg(s->msg,
				  "has an unclosed double quote (a ; after a blank starts a "
				  "comment, also in quotes: write \\;)");
	if (is_plain && is_shell_word(start))
		return config_msg(s->msg,
				  "has the argument %s, but there is no shell (write a script, "
				  "or quote it)",
				  start);
	return 0;
}

int config_command_parse(const char *value, struct config_command *ret, char msg[CONFIG_MSG_SIZE])
{
	char *args[CONFIG_ARGS_MAX + 1];
	char text[CONFIG_VALUE_SIZE] = "";
	struct splitter s = { .in = value, .out = text, .msg = msg };
	size_t n = 0;
	size_t n_pointers;
	char **argv;
	int r;

	if (strlen(value) >= sizeof(text))
		return config_msg(msg, "is longer than %zu bytes (write a script)",
				  sizeof(text) - 1);
	for (s.in += strspn(s.in, " \t"); *s.in != '\0'; s.in += strspn(s.in, " \t")) {
		if (n == CONFIG_ARGS_MAX)
			return config_msg(msg, "has more than %d arguments (write a script)",
					  CONFIG_ARGS_MAX);
		args[n++] = s.out;
		r = split_argument(&s);
		if (r != 0)
			return r;
	}
	if (n == 0) {
		ret->argv = NULL;
		return 0;
	}
	if (args[0][0] != '/')
		return config_msg(msg, "'%.100s' is no absolute path (there is no PATH search)",
				  args[0]);

	/* Pointers and strings in one block. */
	n_pointers = (n + 1) * sizeof(char *);
	argv = malloc(n_pointers + (size_t)(s.out - text));
	if (argv == NULL)
		return config_msg(msg, "out of memory");
	memcpy((char *)argv + n_pointers, text, (size_t)(s.out - text));
	for (size_t i = 0; i < n; i++)
		argv[i] = (char *)argv + n_pointers + (args[i] - text);
	argv[n] = NULL;
	ret->argv = argv;
	return 0;
}

int config_command_check(const struct config_command *command, char msg[CONFIG_MSG_SIZE])
{
	const char *file;
	struct stat st;

	if (command->argv == NULL)
		return 0;
	file = command->argv[0];
	if (stat(file, &st) < 0)
		return config_msg(msg,
				  "'%.200s' cannot be run: %s (install it, or correct the path)",
				  file, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return config_msg(msg,
				  "'%.200s' cannot be run: not a regular file (correct the path)",
				  file);
	if (access(file, X_OK) < 0)
		return config_msg(msg, "'%.200s' cannot be run: %s (chmod +x, and see who owns it)",
				  file, strerror(errno));
	return 0;
}
