/* SPDX-License-Identifier: Apache-2.0 */
#include "work_env.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static int print_facts(const char *path, const struct script_facts *facts)
{
	struct script_environment environment;
	FILE *file = fopen(path, "we");
	int r = 0;

	if (!file)
		return -errno;
	script_environment(facts, &environment);
	for (size_t i = 0; r == 0 && environment.list[i]; i++)
		r = print_fact(file, environment.list[i]);
	if (fclose(file) == EOF && r == 0)
		r = -errno;
	return r;
}

int work_env_write(const char *directory, const struct script_facts *facts)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	int r;

	if (snprintf(path, sizeof(path), "%s/" WORK_ENV_FILE, directory) >= (int)sizeof(path) ||
	    snprintf(fresh, sizeof(fresh), "%s/." WORK_ENV_FILE, directory) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	r = print_facts(fresh, facts);
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(fresh);
		/* None is better than that of an earlier epoch: a unit that depends on it then does not start. */
		(void)unlink(path);
	}
	return r;
}
