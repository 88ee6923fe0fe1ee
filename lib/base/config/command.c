/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

#define INTERPRETER_MAX 255 /* bytes of the first line that the kernel looks at */

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
		return config_msg(msg, "'%.100s' is not an absolute path (PATH is not searched)",
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

/* A script is run by the interpreter in its first line; the kernel takes a carriage return for a part of its name. */
static int check_script(const char *file, char msg[CONFIG_MSG_SIZE])
{
	char line[INTERPRETER_MAX + 1] = "", name[128], *start;
	bool is_windows;
	size_t n = 0;
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		ssize_t got = read(fd, line, INTERPRETER_MAX);

		n = got > 2 && line[0] == '#' && line[1] == '!' ? (size_t)got : 0;
		(void)close(fd);
	}
	if (n == 0)
		return 0; /* a program, or one that may be run but not read */
	line[strcspn(line, "\n")] = '\0';
	is_windows = strchr(line, '\r') != NULL;
	start = line + 2 + strspn(line + 2, " \t");
	start[strcspn(start, " \t")] = '\0';
	if (!is_windows && access(start, X_OK) == 0)
		return 0;
	return config_msg(msg, "'%.200s' cannot be run: no such interpreter: %.100s (%s)", file,
			  text_escape_into(start, name, sizeof(name)),
			  is_windows ? "it has Windows line endings: sed -i 's/\\r$//' on it"
				     : "see its first line");
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
	return check_script(file, msg);
}
