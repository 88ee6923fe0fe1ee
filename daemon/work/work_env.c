/* SPDX-License-Identifier: Apache-2.0 */
#include "work_env.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

/* NAME="value": nothing in a value needs more than this to be read back as it is. */
static int print_fact(FILE *file, const char *fact)
{
	size_t n_name = strcspn(fact, "=");

	if (fprintf(file, "%.*s=\"", (int)n_name, fact) < 0)
		return -EIO;
	for (const char *c = fact + n_name + 1; *c; c++) {
		if (strchr("\"\\$`", *c) && fputc('\\', file) == EOF)
			return -EIO;
		if (fputc((unsigned char)*c < ' ' ? ' ' : *c, file) == EOF)
			return -EIO;
	}
	return fputs("\"\n", file) == EOF ? -EIO : 0;
}

/* To be freed; NULL: out of memory. */
static char *format_facts(const struct script_facts *facts)
{
	struct script_environment environment;
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	int r = 0;

	if (!file)
		return NULL;
	script_environment(facts, &environment);
	for (size_t i = 0; r == 0 && environment.list[i]; i++)
		r = print_fact(file, environment.list[i]);
	if (fclose(file) == 0 && r == 0)
		return text;
	free(text);
	return NULL;
}

int work_env_write(const char *directory, const struct script_facts *facts)
{
	char path[PATH_MAX], *text;
	int r;

	if (snprintf(path, sizeof(path), "%s/" WORK_ENV_FILE, directory) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	text = format_facts(facts);
	r = text ? file_replace(path, text, strlen(text), 0666, false) : -ENOMEM;
	free(text);
	/* None is better than that of an earlier epoch: a unit that depends on it then does not start. */
	if (r < 0)
		(void)unlink(path);
	return r;
}
