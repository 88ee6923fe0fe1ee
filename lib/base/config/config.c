/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fnv.h"
#include "base/nearest.h"

#define NO_KEY CONFIG_N_KEYS

/* One pass over one file. A key's value is complete only when the next key or the end is seen. */
struct loader {
	const char *file;
	unsigned flags;
	struct config_errors *errors;
	struct config config;
	bool is_bad[CONFIG_N_KEYS]; /* said already: no default, no cross check */
	enum config_key_id pending; /* NO_KEY: none */
	char value[CONFIG_VALUE_SIZE];
};

static void add_error(struct loader *loader, unsigned line, const char *section, const char *key,
		      const char *msg)
{
	struct config_errors *errors = loader->errors;
	char *text;
	int n;

	if (errors->n == CONFIG_ERRORS_MAX) {
		errors->n_beyond++;
		return;
	}
	text = errors->texts[errors->n++];
	n = snprintf(text, CONFIG_ERROR_SIZE, "%.100s:", loader->file);
	if (line > 0)
		n += snprintf(text + n, CONFIG_ERROR_SIZE - (size_t)n, "%u:", line);
	if (section != NULL && section[0] != '\0')
		n += snprintf(text + n, CONFIG_ERROR_SIZE - (size_t)n, " %s%s%s:", section,
			      key != NULL ? "." : "", key != NULL ? key : "");
	(void)snprintf(text + n, CONFIG_ERROR_SIZE - (size_t)n, " %s", msg);
}

static void add_key_error(struct loader *loader, enum config_key_id id, const char *msg)
{
	loader->is_bad[id] = true;
	add_error(loader, loader->config.lines[id], config_specs[id].section, config_specs[id].name,
		  msg);
}

static void set_value(struct loader *loader, enum config_key_id id, const char *value)
{
	const struct config_spec *spec = &config_specs[id];
	char msg[CONFIG_MSG_SIZE];
	int r = config_value_parse(spec, value, &loader->config, msg);

	if (r == 0 && spec->type == CONFIG_TYPE_COMMAND &&
	    (loader->flags & CONFIG_CHECK_COMMANDS) != 0)
		r = config_command_check((void *)((char *)&loader->config + spec->offset), msg);
	if (r != 0)
		add_key_error(loader, id, msg);
}

static void flush_pending(struct loader *loader)
{
	enum config_key_id id = loader->pending;

	loader->pending = NO_KEY;
	if (id != NO_KEY && !loader->is_bad[id])
		set_value(loader, id, loader->value);
}

static void on_error(void *userdata, unsigned line, const char *msg)
{
	struct loader *loader = userdata;

	flush_pending(loader);
	add_error(loader, line, NULL, NULL, msg);
}

static enum config_key_id find_key(const char *section, const char *key)
{
	for (unsigned id = 0; id < CONFIG_N_KEYS; id++) {
		if (strcmp(config_specs[id].section, section) == 0 &&
		    strcmp(config_specs[id].name, key) == 0)
			return (enum config_key_id)id;
	}
	return NO_KEY;
}

static bool is_section(const char *section)
{
	for (unsigned id = 0; id < CONFIG_N_KEYS; id++) {
		if (strcmp(config_specs[id].section, section) == 0)
			return true;
	}
	return false;
}

static void add_unknown_section(struct loader *loader, unsigned line, const char *section)
{
	struct nearest nearest = { .wanted = section };
	char msg[CONFIG_MSG_SIZE];

#define X(name, text) nearest_offer(&nearest, #name);
	CONFIG_SECTIONS(X)
#undef X
	if (nearest.best != NULL)
		(void)config_msg(msg, "the section [%.60s] is unknown (did you mean [%s]?)",
				 section, nearest.best);
	else
#define X(name, text) " " #name
		(void)config_msg(msg,
				 "the section [%.60s] is unknown (there are:" CONFIG_SECTIONS(
					 X) ")",
				 section);
#undef X
	add_error(loader, line, NULL, NULL, msg);
}

static void on_section(void *userdata, unsigned line, const char *section)
{
	flush_pending(userdata);
	if (!is_section(section))
		add_unknown_section(userdata, line, section);
}

static void add_unknown_key(struct loader *loader, unsigned line, const char *section,
			    const char *key)
{
	struct nearest nearest = { .wanted = key };
	const char *elsewhere = NULL;
	char msg[CONFIG_MSG_SIZE];

	for (unsigned id = 0; id < CONFIG_N_KEYS; id++) {
		if (strcmp(config_specs[id].section, section) == 0)
			nearest_offer(&nearest, config_specs[id].name);
		else if (elsewhere == NULL && strcmp(config_specs[id].name, key) == 0)
			elsewhere = config_specs[id].section;
	}
	if (nearest.best != NULL)
		(void)config_msg(msg, "the key is unknown (did you mean %s?)", nearest.best);
	else if (elsewhere != NULL)
		(void)config_msg(msg, "the key is unknown here (it belongs to [%s])", elsewhere);
	else
		(void)config_msg(msg, "the key is unknown (see primaryd.conf(5), or remove it)");
	add_error(loader, line, section, key, msg);
}

/* "timeout = 3s" in an indented line would else become an argument of the command above. */
static bool is_assignment(const char *section, const char *value)
{
	char key[64];
	size_t n = strcspn(value, " \t=:");

	if (n >= sizeof(key) || (value[n + strspn(value + n, " \t")] != '=' && value[n] != ':'))
		return false;
	memcpy(key, value, n);
	key[n] = '\0';
	return find_key(section, key) != NO_KEY;
}

static void continue_value(struct loader *loader, unsigned line, const char *section,
			   const char *key, const char *value)
{
	enum config_key_id id = find_key(section, key);
	size_t n = strlen(loader->value);
	char msg[CONFIG_MSG_SIZE];

	if (id == NO_KEY || id != loader->pending)
		return; /* its first line was refused */
	if (is_assignment(section, value) || (value[0] == '[' && value[strlen(value) - 1] == ']')) {
		(void)config_msg(
			msg,
			"the line starts with a blank, so it continues %s above (remove the "
			"blanks before '%.60s')",
			key, value);
		add_error(loader, line, section, key, msg);
		loader->is_bad[id] = true;
		return;
	}
	if (config_specs[id].type != CONFIG_TYPE_SERVERS &&
	    config_specs[id].type != CONFIG_TYPE_COMMAND) {
		add_error(
			loader, line, section, key,
			"the value continues in a second line (only servers and commands may do so; keys and sections start without blanks)");
		loader->is_bad[id] = true;
		return;
	}
	if (n > 0 && loader->value[n - 1] == '\\' && (n < 2 || loader->value[n - 2] != '\\')) {
		add_error(
			loader, line, section, key,
			"the line above ends with a backslash (remove it: the blank at the start of "
			"this line is enough)");
		loader->is_bad[id] = true;
		return;
	}
	if (n + 1 + strlen(value) >= sizeof(loader->value)) {
		(void)config_msg(msg, "the value is longer than %zu bytes (shorten it)",
				 sizeof(loader->value) - 1);
		add_error(loader, line, section, key, msg);
		loader->is_bad[id] = true;
		return;
	}
	loader->value[n] = ' ';
	(void)strcpy(loader->value + n + 1, value);
}

static void on_value(void *userdata, unsigned line, const char *section, const char *key,
		     const char *value, bool continued)
{
	struct loader *loader = userdata;
	char msg[CONFIG_MSG_SIZE];
	enum config_key_id id;

	if (continued) {
		continue_value(loader, line, section, key, value);
		return;
	}
	flush_pending(loader);
	if (section[0] == '\0') {
		(void)config_msg(
			msg, "'%.60s' stands before the first section (write its [SECTION] above)",
			key);
		add_error(loader, line, NULL, NULL, msg);
		return;
	}
	if (!is_section(section))
		return; /* on_section() said so */
	id = find_key(section, key);
	if (id == NO_KEY) {
		add_unknown_key(loader, line, section, key);
		return;
	}
	if (loader->config.lines[id] != 0) {
		(void)config_msg(msg,
				 "the key is set a second time (line %u was the first: remove one)",
				 loader->config.lines[id]);
		add_error(loader, line, section, key, msg);
		return;
	}
	assert(strlen(value) < sizeof(loader->value));
	loader->config.lines[id] = line;
	loader->pending = id;
	(void)strcpy(loader->value, value);
}

static void set_defaults(struct loader *loader)
{
	for (unsigned id = 0; id < CONFIG_N_KEYS; id++) {
		if (loader->config.lines[id] == 0 && !loader->is_bad[id])
			set_value(loader, (enum config_key_id)id, config_specs[id].default_text);
	}
}

/* systemd's may name several, separated by colons. */
static void use_variable(struct loader *loader, const char *variable, enum config_key_id id,
			 char ret_path[CONFIG_PATH_SIZE])
{
	const char *directories = getenv(variable);
	char msg[CONFIG_MSG_SIZE];
	size_t n;

	if (directories == NULL || directories[0] == '\0')
		return;
	n = strcspn(directories, ":");
	if (n >= CONFIG_PATH_SIZE || directories[0] != '/') {
		(void)config_msg(msg, "$%s is not an absolute path of at most %d bytes", variable,
				 CONFIG_PATH_SIZE - 1);
		add_key_error(loader, id, msg);
		return;
	}
	memcpy(ret_path, directories, n);
	ret_path[n] = '\0';
}

static void use_environment(struct loader *loader)
{
	use_variable(loader, "RUNTIME_DIRECTORY", CONFIG_KEY_node_runtime_directory,
		     loader->config.node.runtime_directory);
	use_variable(loader, "STATE_DIRECTORY", CONFIG_KEY_node_state_directory,
		     loader->config.node.state_directory);
}

static void check_delays(struct loader *loader)
{
	enum config_key_id delay = CONFIG_KEY_election_transition_delay_us;
	enum config_key_id lock = CONFIG_KEY_election_lock_timeout_us;
	const struct config *config = &loader->config;
	char delay_text[DURATION_TEXT_SIZE], lock_text[DURATION_TEXT_SIZE];
	char msg[CONFIG_MSG_SIZE];

	if (loader->is_bad[delay] || loader->is_bad[lock] ||
	    config->election.transition_delay_us > config->election.lock_timeout_us)
		return;
	(void)config_msg(
		msg,
		"transition-delay %s does not exceed lock-timeout %s: a node could take over "
		"while others still contend (raise transition-delay, or lower lock-timeout)",
		duration_format(config->election.transition_delay_us, delay_text),
		duration_format(config->election.lock_timeout_us, lock_text));
	add_key_error(loader, config->lines[delay] != 0 || config->lines[lock] == 0 ? delay : lock,
		      msg);
}

static void check_lease(struct loader *loader)
{
	enum config_key_id lease = CONFIG_KEY_relinquish_lease_timeout_us;
	enum config_key_id session = CONFIG_KEY_zookeeper_session_timeout_us;
	const struct config *config = &loader->config;
	char msg[CONFIG_MSG_SIZE];

	if (loader->is_bad[lease] || loader->is_bad[session] ||
	    config_check_lease(config, config->zookeeper.session_timeout_us, msg, sizeof(msg)) == 0)
		return;
	add_key_error(loader,
		      config->lines[lease] != 0 || config->lines[session] == 0 ? lease : session,
		      msg);
}

/* TLS needs all of its files. */
static void check_tls(struct loader *loader)
{
	static const enum config_key_id keys[] = { CONFIG_KEY_zookeeper_tls_ca,
						   CONFIG_KEY_zookeeper_tls_cert,
						   CONFIG_KEY_zookeeper_tls_key };
	struct config *config = &loader->config;
	const char *const values[] = { config->zookeeper.tls_ca, config->zookeeper.tls_cert,
				       config->zookeeper.tls_key };
	unsigned set = 0, first = 0, count = sizeof(keys) / sizeof(keys[0]);
	char msg[CONFIG_MSG_SIZE];

	for (unsigned i = count; i-- > 0;) {
		if (loader->is_bad[keys[i]])
			return;
		if (*values[i] == '\0')
			continue;
		first = i;
		set++;
	}
	for (unsigned i = 0; set > 0 && i < count; i++) {
		if (*values[i] != '\0')
			continue;
		(void)config_msg(msg, "%s is not set (TLS needs tls-ca, tls-cert and tls-key)",
				 config_specs[keys[i]].name);
		add_key_error(loader, keys[first], msg);
	}
	/* Two elections of a host have tunnels of their own. */
	if (set == count)
		config->zookeeper.tunnel = 1 | fnv_add(fnv_add(FNV_START, config->zookeeper.root,
							       strlen(config->zookeeper.root) + 1),
						       config->node.name,
						       strlen(config->node.name));
}

static void loader_init(struct loader *loader, const char *file, unsigned flags,
			struct config_errors *errors)
{
	memset(loader, 0, sizeof(*loader));
	memset(errors, 0, sizeof(*errors));
	loader->file = file;
	loader->flags = flags;
	loader->errors = errors;
	loader->pending = NO_KEY;
}

int config_load_string(const char *name, const char *text, size_t n_text, unsigned flags,
		       struct config *ret, struct config_errors *errors)
{
	struct loader loader;
	const struct config_ini_sink sink = {
		.on_value = on_value,
		.on_section = on_section,
		.on_error = on_error,
		.userdata = &loader,
	};

	loader_init(&loader, name, flags, errors);
	config_ini_parse(text, n_text, &sink);
	flush_pending(&loader);
	set_defaults(&loader);
	if ((flags & CONFIG_USE_ENVIRONMENT) != 0)
		use_environment(&loader);
	check_delays(&loader);
	check_lease(&loader);
	check_tls(&loader);
	if (errors->n > 0) {
		config_finish(&loader.config);
		return CONFIG_INVALID;
	}
	*ret = loader.config;
	return 0;
}

int config_load_defaults(struct config *ret, struct config_errors *errors)
{
	return config_load_string("(defaults)", "", 0, 0, ret, errors);
}

static int read_file(const char *path, char *buf, size_t n_buf, size_t *ret_n)
{
	struct stat st;
	size_t n = 0;
	int r = 0;
	/* O_NONBLOCK: a FIFO without a writer must not hang the start. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	while (r == 0 && n < n_buf) {
		ssize_t got = read(fd, buf + n, n_buf - n);

		if (got < 0 && errno != EINTR)
			r = -errno;
		else if (got == 0)
			break;
		else if (got > 0)
			n += (size_t)got;
	}
	(void)close(fd);
	if (r == 0 && n == n_buf)
		r = -EFBIG;
	if (r == 0)
		*ret_n = n;
	return r;
}

int config_load(const char *path, unsigned flags, struct config *ret, struct config_errors *errors)
{
	struct loader loader;
	char msg[CONFIG_MSG_SIZE];
	size_t n = 0;
	char *text = malloc(CONFIG_FILE_MAX + 1);
	int r = text != NULL ? read_file(path, text, CONFIG_FILE_MAX + 1, &n) : -ENOMEM;

	if (r == 0) {
		r = config_load_string(path, text, n, flags, ret, errors);
	} else {
		loader_init(&loader, path, flags, errors);
		(void)config_msg(msg, "the file cannot be read: %s (name another with --config)",
				 r == -EINVAL ? "Not a regular file" : strerror(-r));
		add_error(&loader, 0, NULL, NULL, msg);
	}
	free(text);
	return r;
}

const char *config_doubt(const struct config *config, unsigned n)
{
	bool is_idle = config->node.mode == CONFIG_COORDINATOR && !*config->takeover.unit &&
		       config->takeover.command.argv == NULL;
	bool is_open = config->zookeeper.tunnel != 0 && !*config->zookeeper.auth_file;
	bool is_local = strcmp(config->node.name, "localhost") == 0;

	if (is_idle && n-- == 0)
		return "neither takeover.unit nor takeover.command is set: a primary does nothing";
	if (is_open && n-- == 0)
		return "zookeeper.auth-file is not set: every user of this host can reach the "
		       "ensemble through the TLS tunnel, and change the cluster's keys";
	if (is_local && n-- == 0)
		return "the node's name is localhost, which other hosts have, too: give this host a "
		       "name of its own, or set node.name";
	return NULL;
}

void config_finish(struct config *config)
{
	for (unsigned id = 0; id < CONFIG_N_KEYS; id++) {
		struct config_command *command;

		if (config_specs[id].type != CONFIG_TYPE_COMMAND)
			continue;
		command = (void *)((char *)config + config_specs[id].offset);
		free(command->argv);
		command->argv = NULL;
	}
	memset(config, 0, sizeof(*config));
}

void config_errors_print(const struct config_errors *errors, FILE *file)
{
	for (size_t i = 0; i < errors->n; i++)
		(void)fprintf(file, "%s\n", errors->texts[i]);
	if (errors->n_beyond > 0)
		(void)fprintf(file, "and %zu more errors\n", errors->n_beyond);
}
