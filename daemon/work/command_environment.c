/* SPDX-License-Identifier: Apache-2.0 */
#include "command_environment.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

static const char *const inherited[COMMAND_INHERITED_MAX] = { "PATH",	 "HOME",  "LANG",
							      "LC_ALL",	 "TZ",	  "USER",
							      "LOGNAME", "SHELL", "TMPDIR" };

static const char *find_entry(const char *const *environment, const char *name)
{
	size_t n = strlen(name);

	for (; *environment != NULL; environment++) {
		if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
			return *environment;
	}
	return NULL;
}

void command_environment(const char *const *given, struct command_environment *ret)
{
	const char **list = ret->list;
	size_t n = 0;

	for (; given != NULL && given[n] != NULL; n++) {
		assert(n < COMMAND_ENVIRONMENT_MAX);
		list[n] = given[n];
	}
	list[n] = NULL;
	for (size_t i = 0; i < COMMAND_INHERITED_MAX; i++) {
		const char *entry = find_entry((const char *const *)environ, inherited[i]);

		if (entry == NULL || find_entry(list, inherited[i]) != NULL)
			continue;
		list[n++] = entry;
		list[n] = NULL;
	}
}
