/* SPDX-License-Identifier: Apache-2.0 */

/* The start of every command: configuration, credential, style of the terminal, the name of the user. */

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/identity_file.h"
#include "base/keys.h"
#include "ctl.h"
#include "zk/session/zkh_resolve.h"

#define WIDTH_MIN 20

static int override(char *to, size_t size, const char *text, const char *option, int code)
{
	if (code != CTL_DONE || !text)
		return code;
	if (strlen(text) < size) {
		strcpy(to, text);
		return CTL_DONE;
	}
	ctl_error("%s is too long", option);
	return CTL_USAGE;
}

/* Names of servers and root are what an operator types wrong. */
static int check_overrides(struct ctl *ctl)
{
	const char *list = ctl->config.zookeeper.servers;
	struct zkh_server server;
	int r;

	while ((r = zkh_server_next(&list, &server)) == 0)
		;
	if (r != -ENOENT) {
		ctl_error("--servers: '%s' is not HOST:PORT[,HOST:PORT...]",
			  ctl->config.zookeeper.servers);
		return CTL_USAGE;
	}
	if (!zkh_path_valid(ctl->config.zookeeper.root)) {
		ctl_error("--root: '%s' is not a path such as / or /cluster",
			  ctl->config.zookeeper.root);
		return CTL_USAGE;
	}
	return CTL_DONE;
}

static int refuse(const struct config_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++)
		ctl_error("%s", errors->texts[i]);
	if (errors->n_beyond)
		ctl_error("and %zu more errors", errors->n_beyond);
	return CTL_REFUSED;
}

static int load_file(struct ctl *ctl, struct config_errors *errors)
{
	const struct options *o = &ctl->options;
	int r;

	ctl->config_path = o->config_path ? o->config_path : CONFIG_DEFAULT_FILE;
	r = config_load(ctl->config_path, 0, &ctl->config, errors);
	if (r == 0) {
		ctl->has_file = true;
		return CTL_DONE;
	}
	/* A machine without daemon has none; and who may not read it can name the servers. */
	if (o->config_path || (r != -ENOENT && !(r == -EACCES && o->servers)))
		return refuse(errors);
	if (config_load_defaults(&ctl->config, errors) == 0 ||
	    config_load_string("(defaults)", "[node]\nname = localhost\n",
			       sizeof("[node]\nname = localhost\n") - 1, 0, &ctl->config,
			       errors) == 0)
		return CTL_DONE;
	return refuse(errors);
}

static int load_credential(struct ctl *ctl)
{
	char message[CONFIG_ERROR_SIZE];

	if (!*ctl->config.zookeeper.auth_file)
		return CTL_DONE;
	if (config_load_auth(ctl->config.zookeeper.auth_file, &ctl->auth, message,
			     sizeof(message)) == 0) {
		ctl->has_auth = true;
		return CTL_DONE;
	}
	ctl_error("auth-file: %s", message);
	return CTL_REFUSED;
}

int ctl_load(struct ctl *ctl)
{
	struct config_errors *errors = ctl_need(calloc(1, sizeof(*errors)));
	const struct options *o = &ctl->options;
	int code = load_file(ctl, errors);

	free(errors);
#define OVERRIDE(member, option)                                                                   \
	code = override(ctl->config.zookeeper.member, sizeof(ctl->config.zookeeper.member),        \
			o->member, option, code)
	OVERRIDE(servers, "--servers");
	OVERRIDE(root, "--root");
	OVERRIDE(auth_file, "--auth-file");
#undef OVERRIDE
	if (o->servers) /* as they are: the tunnel does not know them */
		ctl->config.zookeeper.tunnel = 0;
	if (code == CTL_DONE)
		code = check_overrides(ctl);
	return code == CTL_DONE ? load_credential(ctl) : code;
}

void ctl_runtime_directory(const struct ctl *ctl, char ret_directory[CONFIG_PATH_SIZE])
{
	const size_t n = sizeof(CONFIG_DEFAULT_FILE) - sizeof("primaryd.conf");
	const char *name, *end;

	snprintf(ret_directory, CONFIG_PATH_SIZE, "%s", ctl->config.node.runtime_directory);
	if (strncmp(ctl->config_path, CONFIG_DEFAULT_FILE, n) != 0)
		return;
	name = ctl->config_path + n;
	end = strrchr(name, '.');
	if (!end || strcmp(end, ".conf") != 0 || strchr(name, '/'))
		return;
	if (strcmp(name, "primaryd.conf") == 0)
		snprintf(ret_directory, CONFIG_PATH_SIZE, "/run/primaryd");
	else
		snprintf(ret_directory, CONFIG_PATH_SIZE, "/run/primaryd-%.*s", (int)(end - name),
			 name);
}

int ctl_remember(const struct ctl *ctl, struct identity *ret_known, char *ret_path)
{
	char runtime[CONFIG_PATH_SIZE];
	int r;

	*ret_known = (struct identity){ .generation = 0 };
	(void)snprintf(ret_known->root, sizeof(ret_known->root), "%s", ctl->config.zookeeper.root);
	(void)snprintf(ret_known->name, sizeof(ret_known->name), "%s", ctl->config.node.name);
	ctl_runtime_directory(ctl, runtime);
	*ret_path = '\0';
	r = identity_file_path(ctl->config.node.state_directory, runtime, ret_path);
	return r == 0 ? identity_file_load(ret_path, ret_known) : r;
}

static unsigned terminal_width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_col)
		return 80;
	return size.ws_col > WIDTH_MIN ? size.ws_col : WIDTH_MIN;
}

struct table_style ctl_style(const struct ctl *ctl)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool terminal = isatty(STDOUT_FILENO);

	return (struct table_style){
		.json = ctl->options.json,
		.color = terminal && !ctl->options.json && !(no_color && *no_color) &&
			 !(term && !strcmp(term, "dumb")),
		.width = ctl->options.json ? 0 : terminal_width(),
	};
}

/* Keeps what needs no escape anywhere. */
static void copy_plain(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; *from && n + 1 < size; from++)
		to[n++] = strchr("\"\\ ", *from) || *from < ' ' || *from > '~' ? '_' : *from;
	to[n] = '\0';
}

const char *ctl_who(void)
{
	static char who[2 * NAME_SIZE];
	const char *sudo = getenv("SUDO_USER");
	struct passwd *entry = getpwuid(getuid());
	char number[16], user[NAME_SIZE], name[NAME_SIZE], host[NAME_SIZE] = "";

	snprintf(number, sizeof(number), "%u", (unsigned)getuid());
	copy_plain(user, sizeof(user), sudo && *sudo ? sudo : entry ? entry->pw_name : number);
	gethostname(name, sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	copy_plain(host, sizeof(host), name);
	snprintf(who, sizeof(who), "%s@%s", user, host);
	return who;
}

const char *ctl_node_argument(struct ctl *ctl, int index)
{
	const char *name = index < ctl->options.argument_count ? ctl->options.arguments[index]
							       : ctl->config.node.name;

	if (zkh_name_valid(name) && strcmp(name, NAME_NONE) != 0)
		return name;
	ctl_error(
		"'%s' is not a node's name (1 to %d of A-Z a-z 0-9 . _ -, a letter or digit first, and not none)",
		name, ZKH_NAME_MAX);
	return NULL;
}
