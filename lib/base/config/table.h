/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Every key of the configuration file: parser, defaults, bounds, --help, the sample file, the man page
 * and the tests follow this table.
 *
 * X(SECTION, MEMBER, "key", TYPE, "default", MIN, MAX, "description")
 *
 * MEMBER is the member of struct config's SECTION. MIN and MAX: microseconds for DURATION, the value
 * for NUMBER, characters for the texts (0, 0: a bound of the type's own). The default is parsed like
 * a value from the file.
 */

#include "base/duration.h"

#define CONFIG_SECTIONS(X)                                                                         \
	X(zookeeper, "The ensemble")                                                               \
	X(node, "This node")                                                                       \
	X(election, "How a vacancy is filled")                                                     \
	X(takeover, "Becoming primary")                                                            \
	X(relinquish, "Giving up the role")                                                        \
	X(fence, "Nodes that died while acting")                                                   \
	X(health, "Health of this node")                                                           \
	X(follow, "Following the acting primary")

#define CONFIG_KEYS(X)                                                                             \
	X(zookeeper, servers, "servers", SERVERS, "127.0.0.1:2181", 0, 0,                          \
	  "the ensemble: HOST:PORT, separated by commas or spaces; names, IPv4, [IPv6]")           \
	X(zookeeper, root, "root", ROOT, "/", 0, 0,                                                \
	  "the key above all keys of this cluster; created if missing")                            \
	X(zookeeper, session_timeout_us, "session-timeout", DURATION, "10s", 100 * DURATION_MS,    \
	  10 * DURATION_MIN,                                                                       \
	  "how long ZooKeeper waits for a silent node; the ensemble may grant another value")      \
	X(zookeeper, auth_file, "auth-file", PATH, "", 0, 0,                                       \
	  "a file that holds SCHEME CREDENTIAL; keys are then open to their creator alone")        \
	X(zookeeper, tls_ca, "tls-ca", PATH, "", 0, 0,                                             \
	  "the authorities of the servers' certificates; TLS needs primaryd-tunnel.service")       \
	X(zookeeper, tls_cert, "tls-cert", PATH, "", 0, 0,                                         \
	  "the certificate of this node, followed by the intermediate certificates")               \
	X(zookeeper, tls_key, "tls-key", PATH, "", 0, 0,                                           \
	  "the key of that certificate; neither group nor others may read it")                     \
	X(node, name, "name", NAME, "", 1, 64,                                                     \
	  "the node's name; default: the host name up to the first dot")                           \
	X(node, address, "address", ADDRESS, "", 0, 0,                                             \
	  "where clients reach this node, such as 192.0.2.7 or db1:5432; published in ZooKeeper")  \
	X(node, mode, "mode", MODE, "coordinator", 0, 0,                                           \
	  "coordinator: may become primary; client: only follows")                                 \
	X(node, rank, "rank", NUMBER, "0", 0, 100,                                                 \
	  "how much this node is preferred when the role is vacant: see contend-delay")            \
	X(node, contend_delay_us, "contend-delay", DURATION, "0", 0, 10 * DURATION_MIN,            \
	  "the head start of eligible nodes of a higher rank when the role is vacant")             \
	X(node, runtime_directory, "runtime-directory", PATH, "/run/primaryd", 1, 0,               \
	  "where the state for a resume is kept; $RUNTIME_DIRECTORY overrides it")                 \
	X(node, state_directory, "state-directory", PATH, "/var/lib/primaryd", 1, 0,               \
	  "where the node remembers its cluster; $STATE_DIRECTORY overrides it")                   \
	X(node, status_directory, "status-directory", PATH, "/run/primaryd-status", 1, 0,          \
	  "where every program of the host can read the state of this node; a tmpfs")              \
	X(election, lock_timeout_us, "lock-timeout", DURATION, "400ms", 10 * DURATION_MS,          \
	  DURATION_MIN, "how long a contender waits for the lock")                                 \
	X(election, transition_delay_us, "transition-delay", DURATION, "500ms", 10 * DURATION_MS,  \
	  5 * DURATION_MIN, "the wait before takeover and relinquish; must exceed lock-timeout")   \
	X(election, handover_timeout_us, "handover-timeout", DURATION, "5s", 0, 10 * DURATION_MIN, \
	  "how long a leaving primary waits for a successor to claim")                             \
	X(election, penalty_us, "penalty", DURATION, "10s", 0, 60 * DURATION_MIN,                  \
	  "how long a node stays out after a failed takeover; doubles with every failure")         \
	X(takeover, unit, "unit", UNIT, "", 0, 0,                                                  \
	  "the systemd unit started on takeover and stopped on relinquish")                        \
	X(takeover, command, "command", COMMAND, "", 0, 0,                                         \
	  "run on takeover, after the unit; absolute path and arguments, no shell")                \
	X(takeover, timeout_us, "timeout", DURATION, "60s", 10 * DURATION_MS, 60 * DURATION_MIN,   \
	  "time limit for unit and command together")                                              \
	X(takeover, acquire_delay_us, "acquire-delay", DURATION, "0", 0, 60 * DURATION_MIN,        \
	  "extra wait before a takeover from a node that died while acting")                       \
	X(relinquish, command, "command", COMMAND, "", 0, 0,                                       \
	  "run on relinquish, before the unit is stopped")                                         \
	X(relinquish, timeout_us, "timeout", DURATION, "30s", 10 * DURATION_MS, 60 * DURATION_MIN, \
	  "time limit for an orderly stop, during which the lease is renewed")                     \
	X(relinquish, lease_timeout_us, "lease-timeout", DURATION, "3s", 10 * DURATION_MS,         \
	  3 * DURATION_MIN,                                                                        \
	  "time limit for a stop when the lease runs out; then the work is killed")                \
	X(relinquish, self_fence, "self-fence", SELF_FENCE, "none", 0, 0,                          \
	  "what to do if killed work is still not down: none, or reboot this host")                \
	X(fence, command, "command", COMMAND, "", 0, 0,                                            \
	  "run for every node that died while acting; exit 0 means that it is surely off")         \
	X(fence, timeout_us, "timeout", DURATION, "60s", 10 * DURATION_MS, 60 * DURATION_MIN,      \
	  "time limit for the fence command, for every node")                                      \
	X(fence, check_command, "check-command", COMMAND, "", 0, 0,                                \
	  "run for every other node, at intervals; exit 0 means that fencing it would work")       \
	X(fence, check_interval_us, "check-interval", DURATION, "10min", DURATION_S,               \
	  24 * 60 * DURATION_MIN, "the pause between two rounds of checks")                        \
	X(fence, failure, "failure", FENCE_FAILURE, "stop", 0, 0,                                  \
	  "when the fence command fails: stop the takeover, or continue it")                       \
	X(health, command, "command", COMMAND, "", 0, 0, "run periodically; exit 0 means healthy") \
	X(health, interval_us, "interval", DURATION, "5s", 10 * DURATION_MS, 60 * DURATION_MIN,    \
	  "the pause between two runs of the health command")                                      \
	X(health, timeout_us, "timeout", DURATION, "3s", 10 * DURATION_MS, 10 * DURATION_MIN,      \
	  "time limit for one run; a run that exceeds it counts as failed")                        \
	X(health, failures, "failures", NUMBER, "3", 1, 100,                                       \
	  "how many failed runs in a row make the node unhealthy")                                 \
	X(follow, command, "command", COMMAND, "", 0, 0,                                           \
	  "run on every node after the acting primary changed")
