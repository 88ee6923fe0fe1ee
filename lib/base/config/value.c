/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "zk/session/zkh_resolve.h"
#include "zk/zkh_path.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ADDRESS_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:[]%"
#define UNIT_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:@\\"

int config_msg(char msg[CONFIG_MSG_SIZE], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(msg, CONFIG_MSG_SIZE, fmt, args);
	va_end(args);
	return CONFIG_INVALID;
}

static int parse_duration(const struct config_spec *spec, const char *value, void *ret, char *msg)
{
	char min[DURATION_TEXT_SIZE], max[DURATION_TEXT_SIZE];
	int64_t us;
	int r = duration_parse(value, &us);

	if (r != 0)
		return config_msg(msg,
				  "'%.100s' %s (write a number and ms, s, min or h, such as %s)",
				  value, duration_error_text((enum duration_error)r),
				  strcmp(spec->default_text, "0") != 0 ? spec->default_text
								       : "500ms");
	if (us < spec->min || us > spec->max)
		return config_msg(msg, "'%s' is out of range (%s to %s)", value,
				  duration_format(spec->min, min), duration_format(spec->max, max));
	*(int64_t *)ret = us;
	return 0;
}

static int parse_number(const struct config_spec *spec, const char *value, void *ret, char *msg)
{
	size_t n = strlen(value);
	long number;

	if (n == 0 || n > 9 || strspn(value, "0123456789") != n)
		return config_msg(msg, "'%.100s' is no whole number (%" PRId64 " to %" PRId64 ")",
				  value, spec->min, spec->max);
	number = strtol(value, NULL, 10);
	if (number < spec->min || number > spec->max)
		return config_msg(msg, "'%s' is out of range (%" PRId64 " to %" PRId64 ")", value,
				  spec->min, spec->max);
	*(unsigned *)ret = (unsigned)number;
	return 0;
}

static int parse_path(const struct config_spec *spec, const char *value, void *ret, char *msg)
{
	if (value[0] == '\0' && spec->min > 0)
		return config_msg(msg, "is empty (write an absolute path, such as %s)",
				  spec->default_text);
	if (value[0] != '\0' && value[0] != '/')
		return config_msg(msg, "'%.100s' is not an absolute path (start it with /)", value);
	if (strlen(value) >= CONFIG_PATH_SIZE)
		return config_msg(msg, "has %zu bytes (%d at most)", strlen(value),
				  CONFIG_PATH_SIZE - 1);
	(void)strcpy(ret, value);
	return 0;
}

static int parse_root(const struct config_spec *spec, const char *value, void *ret, char *msg)
{
	if (!zkh_path_valid(value) || strlen(value) >= CONFIG_PATH_SIZE)
		return config_msg(
			msg,
			"'%.100s' is not a ZooKeeper path (start with /, no / at the end, no empty, . or .. part, at most %d bytes)",
			value, CONFIG_PATH_SIZE - 1);
	(void)strcpy(ret, value);
	return 0;
}

static int parse_name(const struct config_spec *spec, const char *value, void *ret, char *msg)
{
	char host[256] = "";
	const char *whose = "";

	if (value[0] == '\0') {
		(void)gethostname(host, sizeof(host) - 1);
		host[strcspn(host, ".")] = '\0';
		value = host;
		whose = "the host's name ";
	}
	/* `none` in the key /primary_node means that nobody is primary. */
	if (!zkh_name_valid(value) || strcmp(value, "none") == 0)
		return config_msg(
			msg,
			"%s'%.100s' cannot be a node's name (1 to 64 of A-Z a-z 0-9 . _ -, "
			"a letter or digit first, and not none)",
			whose, value);
	(void)strcpy(ret, value);
	return 0;
}

static int parse_address(const char *value, void *ret, char *msg)
{
	if (strlen(value) >= CONFIG_ADDRESS_SIZE || strspn(value, ADDRESS_CHARS) != strlen(value))
		return config_msg(msg,
				  "'%.100s' is not an address (a name, an IPv4 address, or an IPv6 "
				  "address, in brackets if :PORT follows)",
				  value);
	(void)strcpy(ret, value);
	return 0;
}

static int parse_unit(const struct config_spec *spec, const char *value, void *ret, char *msg)
{
	static const char *const suffixes[] = { ".service", ".target",	  ".socket",
						".mount",   ".automount", ".swap",
						".timer",   ".path",	  ".slice" };
	const char *suffix = strrchr(value, '.');
	bool known = false;

	for (size_t i = 0; suffix != NULL && i < COUNT(suffixes); i++)
		known = known || strcmp(suffix, suffixes[i]) == 0;
	if (value[0] == '\0') {
		*(char *)ret = '\0';
		return 0;
	}
	if (!known || suffix == value || strlen(value) >= CONFIG_UNIT_SIZE ||
	    strspn(value, UNIT_CHARS) != strlen(value))
		return config_msg(
			msg,
			"'%.100s' is not the name of a unit (such as primary.target or postgresql.service)",
			value);
	if (suffix[-1] == '@')
		return config_msg(msg, "'%.100s' is a template (put the instance after the @)",
				  value);
	(void)strcpy(ret, value);
	return 0;
}

/* One of the words of choices, which are separated by '|'; as a number, in their order. */
static int parse_choice(const char *choices, const char *value, unsigned *ret, char *msg)
{
	struct nearest nearest = { .wanted = value };
	char words[64], *rest = words;
	const char *word;
	unsigned i = 0;

	(void)snprintf(words, sizeof(words), "%s", choices);
	for (; (word = strsep(&rest, "|")) != NULL; i++) {
		if (strcmp(word, value) == 0) {
			*ret = i;
			return 0;
		}
		nearest_offer(&nearest, word);
	}
	if (nearest.best != NULL)
		return config_msg(msg, "'%.100s' is unknown (did you mean %s? write %s)", value,
				  nearest.best, choices);
	return config_msg(msg, "'%.100s' is unknown (write %s)", value, choices);
}

static int parse_servers(const char *value, struct config *config, char *msg)
{
	char servers[CONFIG_VALUE_SIZE];
	const char *rest = servers;
	struct zkh_server server;
	unsigned n_servers = 0;
	char *out = servers;
	int r;

	/* Blanks separate servers as commas do. */
	for (const char *p = value; *p != '\0'; p++) {
		const char *next = p + strspn(p, " \t");

		if (next == p)
			*out++ = *p;
		else if (out > servers && out[-1] != ',' && *next != ',' && *next != '\0')
			*out++ = ',';
	}
	*out = '\0';
	while ((r = zkh_server_next(&rest, &server)) == 0)
		n_servers++;
	if (r != -ENOENT)
		return config_msg(msg,
				  "'%.*s' is not HOST:PORT (a name, an IPv4 address, or an IPv6 "
				  "address in brackets; a port from 1 to 65535)",
				  (int)strcspn(rest, ","), rest);
	if (n_servers == 0)
		return config_msg(msg, "is empty (name at least one server as HOST:PORT)");
	if (n_servers > CONFIG_SERVERS_MAX)
		return config_msg(msg,
				  "names more than %d servers (name fewer: a client needs only "
				  "some of them)",
				  CONFIG_SERVERS_MAX);
	(void)strcpy(config->zookeeper.servers, servers);
	config->zookeeper.n_servers = n_servers;
	return 0;
}

int config_value_parse(const struct config_spec *spec, const char *value, struct config *config,
		       char msg[CONFIG_MSG_SIZE])
{
	void *member = (char *)config + spec->offset;

	assert(strlen(value) < CONFIG_VALUE_SIZE);
	switch (spec->type) {
	case CONFIG_TYPE_SERVERS:
		return parse_servers(value, config, msg);
	case CONFIG_TYPE_ROOT:
		return parse_root(spec, value, member, msg);
	case CONFIG_TYPE_DURATION:
		return parse_duration(spec, value, member, msg);
	case CONFIG_TYPE_NUMBER:
		return parse_number(spec, value, member, msg);
	case CONFIG_TYPE_PATH:
		return parse_path(spec, value, member, msg);
	case CONFIG_TYPE_NAME:
		return parse_name(spec, value, member, msg);
	case CONFIG_TYPE_ADDRESS:
		return parse_address(value, member, msg);
	case CONFIG_TYPE_UNIT:
		return parse_unit(spec, value, member, msg);
	case CONFIG_TYPE_COMMAND:
		return config_command_parse(value, member, msg);
	case CONFIG_TYPE_MODE:
	case CONFIG_TYPE_SELF_FENCE:
	case CONFIG_TYPE_FENCE_FAILURE:
		return parse_choice(config_type_text(spec->type), value, member, msg);
	}
	assert(!"config_type");
	return CONFIG_INVALID;
}

const char *config_type_text(enum config_type type)
{
	static const char *const texts[] = {
		[CONFIG_TYPE_SERVERS] = "HOST:PORT,...",
		[CONFIG_TYPE_ROOT] = "path in ZooKeeper",
		[CONFIG_TYPE_DURATION] = "duration",
		[CONFIG_TYPE_NUMBER] = "number",
		[CONFIG_TYPE_PATH] = "path",
		[CONFIG_TYPE_NAME] = "name",
		[CONFIG_TYPE_ADDRESS] = "HOST[:PORT]",
		[CONFIG_TYPE_UNIT] = "unit",
		[CONFIG_TYPE_COMMAND] = "command",
		[CONFIG_TYPE_MODE] = "coordinator|client",
		[CONFIG_TYPE_SELF_FENCE] = "none|reboot",
		[CONFIG_TYPE_FENCE_FAILURE] = "stop|continue",
	};

	return texts[type];
}
