/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The configuration file: read completely and checked, or refused. Every error is collected, with file, line, section,
 * key and remedy; nothing is ignored or cut.
 *
 * The format: [section], KEY = VALUE, comments from ';' or '#' at the start of a line and from ';' after a blank. A
 * line holds at most 197 characters; the values of `servers` and of commands may continue on lines that start with a
 * blank.
 *
 * Reads files and blocks while it does so: for the start and --check, not for the loop.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "table.h"

#define CONFIG_DEFAULT_FILE PRIMARYD_SYSCONFDIR "/primaryd/primaryd.conf"

/* Bounds. Sizes include the terminating NUL. */
#define CONFIG_FILE_MAX (256 * 1024)
#define CONFIG_VALUE_SIZE 2048
#define CONFIG_PATH_SIZE 256
#define CONFIG_NAME_SIZE 65
#define CONFIG_ADDRESS_SIZE 80
#define CONFIG_UNIT_SIZE 256
#define CONFIG_SERVERS_MAX 32
#define CONFIG_ARGS_MAX 64
#define CONFIG_ERRORS_MAX 64
#define CONFIG_ERROR_SIZE 512

#define CONFIG_MODES(X)                                                                            \
	X(CONFIG_COORDINATOR, "coordinator")                                                       \
	X(CONFIG_CLIENT, "client")

#define X(name, text) name,
enum config_mode { CONFIG_MODES(X) };
#undef X

/* Each in the order of the words in config_type_text(). */
enum config_self_fence { CONFIG_SELF_FENCE_NONE, CONFIG_SELF_FENCE_REBOOT };
enum config_fence_failure { CONFIG_FENCE_FAILURE_STOP, CONFIG_FENCE_FAILURE_CONTINUE };

enum config_key_id {
#define X(section, member, ...) CONFIG_KEY_##section##_##member,
	CONFIG_KEYS(X)
#undef X
		CONFIG_N_KEYS,
};

/* argv: NULL when not configured; else NULL-terminated, argv[0] absolute; owned by the config. */
struct config_command {
	char **argv;
};

/* Owns only the commands: config_finish(). Not to be copied and finished twice. */
struct config {
	struct {
		char servers[CONFIG_VALUE_SIZE]; /* HOST:PORT[,HOST:PORT...], no blanks */
		unsigned n_servers;
		char root[CONFIG_PATH_SIZE];
		int64_t session_timeout_us;
		char auth_file[CONFIG_PATH_SIZE]; /* "": none */
		char tls_ca[CONFIG_PATH_SIZE];	  /* all three are set, or all are "" */
		char tls_cert[CONFIG_PATH_SIZE];
		char tls_key[CONFIG_PATH_SIZE];
		/* The TLS tunnel, see zkh_tunnel.h; 0: none. Not a key: it follows from these, the root and the name. */
		uint64_t tunnel;
	} zookeeper;
	struct {
		char name[CONFIG_NAME_SIZE];
		char address[CONFIG_ADDRESS_SIZE]; /* "": none */
		enum config_mode mode;
		unsigned rank;
		int64_t contend_delay_us;
		char runtime_directory[CONFIG_PATH_SIZE];
		char state_directory[CONFIG_PATH_SIZE];
		char status_directory[CONFIG_PATH_SIZE];
	} node;
	struct {
		int64_t lock_timeout_us;
		int64_t transition_delay_us;
		int64_t handover_timeout_us;
		int64_t penalty_us;
	} election;
	struct {
		char unit[CONFIG_UNIT_SIZE]; /* "": none */
		struct config_command command;
		int64_t timeout_us;
		int64_t acquire_delay_us;
	} takeover;
	struct {
		struct config_command command;
		int64_t timeout_us;
		int64_t lease_timeout_us;
		enum config_self_fence self_fence;
	} relinquish;
	struct {
		struct config_command command;
		int64_t timeout_us;
		enum config_fence_failure failure;
		struct config_command check_command;
		int64_t check_interval_us;
	} fence;
	struct {
		struct config_command command;
		int64_t interval_us;
		int64_t timeout_us;
		unsigned failures;
	} health;
	struct {
		struct config_command command;
	} follow;
	unsigned lines[CONFIG_N_KEYS]; /* where each key was set; 0: default */
};

/* Each is complete: "FILE:LINE: section.key: what is wrong (remedy)". */
struct config_errors {
	size_t n;	 /* kept in texts */
	size_t n_beyond; /* found, but no room */
	char texts[CONFIG_ERRORS_MAX][CONFIG_ERROR_SIZE];
};

enum config_result {
	CONFIG_OK,
	CONFIG_INVALID, /* errors has at least one entry */
};

enum config_flags {
	/* The commands must exist and be executable here: for the daemon, not for primaryctl. */
	CONFIG_CHECK_COMMANDS = 1 << 0,
	/* $RUNTIME_DIRECTORY and $STATE_DIRECTORY (their first directories) replace the keys of [node]. */
	CONFIG_USE_ENVIRONMENT = 1 << 1,
};

/*
 * Reads the file at path. flags: of enum config_flags. ret is written on success only, then the
 * caller owns it. errors is overwritten. Returns 0, CONFIG_INVALID, or -errno when the file could not
 * be read (then errors says so, too). A reload is this call on a second struct config.
 */
int config_load(const char *path, unsigned flags, struct config *ret, struct config_errors *errors);

/* The same from memory, NUL bytes and all; `name` stands for the file in errors. */
int config_load_string(const char *name, const char *text, size_t n_text, unsigned flags,
		       struct config *ret, struct config_errors *errors);

/* Every default; fails (CONFIG_INVALID) only when the host name cannot be a node name. */
int config_load_defaults(struct config *ret, struct config_errors *errors);

/* What is valid, but hardly meant: the first, second, ... such warning; NULL: no more. */
const char *config_doubt(const struct config *config, unsigned n);

/* Frees what it owns and zeroes it. Also fine on a zeroed one. */
void config_finish(struct config *config);

/* One line each, and how many more there were. */
void config_errors_print(const struct config_errors *errors, FILE *file);

/*
 * Whether the stop at the end of the lease fits into a session timeout (also one that the ensemble
 * granted): with margin = max(T/100, 50 ms), lease-timeout + margin must not exceed T/3. Returns 0;
 * or CONFIG_INVALID and the sum spelled out with its remedy in msg, without file and key.
 */
int config_check_lease(const struct config *config, int64_t session_timeout_us, char *msg,
		       size_t n_msg);

/* The credential for ZooKeeper: forget it with explicit_bzero() when it was handed over. */
#define CONFIG_AUTH_SCHEME_SIZE 32
#define CONFIG_AUTH_CREDENTIAL_SIZE 256

/* The second one is there while the credential is changed: a node proves both, and its keys accept both. */
#define CONFIG_AUTH_MAX 2

struct config_credential {
	char scheme[CONFIG_AUTH_SCHEME_SIZE];
	char credential[CONFIG_AUTH_CREDENTIAL_SIZE];
};

struct config_auth {
	struct config_credential list[CONFIG_AUTH_MAX]; /* different ones */
	unsigned count;
};

/*
 * Reads one or two lines SCHEME CREDENTIAL from a regular file that neither group nor others can read.
 * (Group is not looked at below $CREDENTIALS_DIRECTORY: systemd grants access by an ACL there, which
 * shows as group access.) Returns 0; CONFIG_INVALID or -errno with what is wrong and its remedy in msg.
 */
int config_load_auth(const char *path, struct config_auth *ret, char *msg, size_t n_msg);

/*
 * The files of TLS, if it is configured: PEM, and the key is secret. is_tunnel: for the tunnel, which reads them; for others,
 * files that this user cannot see are left out. Returns 0; CONFIG_INVALID or -errno with the key and what is wrong.
 */
int config_check_tls(const struct config *config, bool is_tunnel, enum config_key_id *ret_key,
		     char *msg, size_t n_msg);

/* The configuration of stunnel for config->zookeeper.tunnel. */
void config_print_tunnel(const struct config *config, FILE *file);

/* What is known about a key, for --help, the man page and the tests. */
struct config_key {
	const char *section;
	const char *name;
	const char *type; /* for people: "duration", "HOST:PORT list", "coordinator|client" ... */
	const char *default_text; /* "": none */
	const char *description;
};

struct config_key config_key(enum config_key_id id);

/* All sections and keys with type, default and description. */
void config_print_keys(FILE *file);

/* For a session: points into auth, which may be NULL: none. */
struct zkh_credential;
void config_auth_put(const struct config_auth *auth, struct zkh_credential *ret_list);

/* A fingerprint, to see that the credential is another one. NULL: none. */
uint64_t config_auth_hash(const struct config_auth *auth);

const char *config_mode_text(enum config_mode mode);
