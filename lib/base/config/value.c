/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "zk/zkh_path.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HOST_MAX 253
#define HOST_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define UNIT_CHARS HOST_CHARS ":@\\"

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
		return config_msg(msg, "'%.100s' %s (write a number and ms, s or min, such as %s)",
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
		return config_msg(msg, "is empty (give an absolute path, such as %s)",
				  spec->default_text);
	if (value[0] != '\0' && value[0] != '/')
		return config_msg(msg, "'%.100s' is no absolute path (start it with /)", value);
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
			"'%.100s' is no ZooKeeper path (start with /, no / at the end, no "
			"empty, . or .. part, at most %d bytes)",
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
		return config_msg(msg,
				  "'%.100s' is no unit's name (such as primary.target or "
				  "postgresql.service)",
				  value);
	if (suffix[-1] == '@')
		return config_msg(msg, "'%.100s' is a template (put the instance after the @)",
				  value);
	(void)strcpy(ret, value);
	return 0;
}

static int parse_command(const struct config_spec *spec, const char *value, void *ret, char *msg)
{
	struct config_command *command = ret;

	assert(command->argv == NULL);
	return config_command_parse(value, command, msg);
}

/* "coordinator, client" of the names; the index of value among them. */
static int parse_choice(const char *const *names, size_t n, const char *value, size_t *ret,
			char *msg)
{
	struct config_nearest nearest = { .wanted = value };
	char all[128] = "";

	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], value) == 0) {
			*ret = i;
			return 0;
		}
		config_nearest_offer(&nearest, names[i]);
		(void)strcat(strcat(all, i == 0 ? "" : " or "), names[i]);
	}
	if (nearest.best != NULL)
		return config_msg(msg, "'%.100s' is unknown (did you mean %s? write %s)", value,
				  nearest.best, all);
	return config_msg(msg, "'%.100s' is unknown (write %s)", value, all);
}

#define CHOICE_PARSER(function, type, TABLE)                                                       \
	static int function(const struct config_spec *spec, const char *value, void *ret,          \
			    char *msg)                                                             \
	{                                                                                          \
		static const char *const names[] = { TABLE(NAME) };                                \
		size_t i = 0;                                                                      \
		int r = parse_choice(names, COUNT(names), value, &i, msg);                         \
                                                                                                   \
		if (r == 0)                                                                        \
			*(type *)ret = (type)i;                                                    \
		return r;                                                                          \
	}
#define NAME(name, text) text,
CHOICE_PARSER(parse_mode, enum config_mode, CONFIG_MODES)
CHOICE_PARSER(parse_self_fence, enum config_self_fence, CONFIG_SELF_FENCES)
CHOICE_PARSER(parse_fence_failure, enum config_fence_failure, CONFIG_FENCE_FAILURES)
#undef NAME

static bool is_host(const char *host, bool bracketed)
{
	struct in6_addr address;
	size_t n = strlen(host);

	if (bracketed)
		return inet_pton(AF_INET6, host, &address) == 1;
	if (n == 0 || n > HOST_MAX || strspn(host, HOST_CHARS) != n)
		return false;
	/* Digits and dots alone are an address, if anything. */
	if (strspn(host, "0123456789.") == n)
		return inet_pton(AF_INET, host, &address) == 1;
	return host[0] != '-' && host[0] != '.';
}

static int check_server(const char *server, size_t n, char *msg)
{
	char host[HOST_MAX + 1];
	bool bracketed = server[0] == '[';
	const char *colon = memrchr(server, ':', n);
	const char *host_end = colon;
	size_t n_port = colon != NULL ? (size_t)(server + n - colon) - 1 : 0;

	if (colon == NULL || (bracketed && colon[-1] != ']'))
		return config_msg(msg, "'%.*s' has no port (write HOST:PORT, such as zk1:2181)",
				  (int)(n < 100 ? n : 100), server);
	if (n_port == 0 || n_port > 5 || strspn(colon + 1, "0123456789") < n_port ||
	    strtol(colon + 1, NULL, 10) < 1 || strtol(colon + 1, NULL, 10) > 65535)
		return config_msg(msg,
				  "'%.*s' has no port from 1 to 65535 behind its last colon (write "
				  "HOST:PORT; a path belongs into root)",
				  (int)(n < 100 ? n : 100), server);
	if (bracketed) {
		server++;
		host_end--;
	}
	if (host_end < server || host_end - server > HOST_MAX)
		return config_msg(msg, "a server's name is longer than %d bytes", HOST_MAX);
	memcpy(host, server, (size_t)(host_end - server));
	host[host_end - server] = '\0';
	if (!is_host(host, bracketed))
		return config_msg(
			msg,
			"'%.100s' is no host (a name, an IPv4 address, or an IPv6 address "
			"in brackets)",
			host);
	return 0;
}

static int parse_servers(const char *value, struct config *config, char *msg)
{
	char servers[CONFIG_VALUE_SIZE];
	char *out = servers;
	unsigned n_servers = 0;

	if (value[strspn(value, ", \t")] == '\0')
		return config_msg(msg, "is empty (name at least one server as HOST:PORT)");
	for (const char *p = value; *p != '\0';) {
		size_t n = strcspn(p, ", \t");
		int r;

		if (n == 0)
			return config_msg(msg, "has a comma without a server (remove it)");
		if (n_servers == CONFIG_SERVERS_MAX)
			return config_msg(msg,
					  "names more than %d servers (name fewer: a client needs "
					  "only some of them)",
					  CONFIG_SERVERS_MAX);
		r = check_server(p, n, msg);
		if (r != 0)
			return r;
		if (n_servers++ > 0)
			*out++ = ',';
		memcpy(out, p, n);
		out += n;
		p += n;
		p += strspn(p, " \t");
		if (*p == ',') {
			p++;
			p += strspn(p, " \t");
			if (*p == '\0')
				return config_msg(msg, "ends with a comma (remove it)");
		}
	}
	*out = '\0';
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
	case CONFIG_TYPE_UNIT:
		return parse_unit(spec, value, member, msg);
	case CONFIG_TYPE_COMMAND:
		return parse_command(spec, value, member, msg);
	case CONFIG_TYPE_MODE:
		return parse_mode(spec, value, member, msg);
	case CONFIG_TYPE_SELF_FENCE:
		return parse_self_fence(spec, value, member, msg);
	case CONFIG_TYPE_FENCE_FAILURE:
		return parse_fence_failure(spec, value, member, msg);
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
		[CONFIG_TYPE_UNIT] = "unit",
		[CONFIG_TYPE_COMMAND] = "command",
		[CONFIG_TYPE_MODE] = "coordinator|client",
		[CONFIG_TYPE_SELF_FENCE] = "none|reboot",
		[CONFIG_TYPE_FENCE_FAILURE] = "stop|continue",
	};

	return texts[type];
}
