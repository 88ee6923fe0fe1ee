/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Counts what all sessions of this process ask the servers for: the calls of libzookeeper are wrapped by the linker, the
 * socket calls that it makes are this program's own.
 */

#include <stdint.h>

#define COUNTS(X)                                                                                  \
	X(SESSION, "handles") /* sessions begun: libzookeeper handles */                           \
	X(GET, "get")                                                                              \
	X(EXISTS, "exists")                                                                        \
	X(CHILDREN, "children")                                                                    \
	X(SYNC, "sync")                                                                            \
	X(WRITE, "write") /* transactions, whatever they hold */                                   \
	X(WRITE_OPS, "write_ops")                                                                  \
	X(EVENT, "event") /* watch events that came in */                                          \
	X(CONNECT, "connect")                                                                      \
	X(SENDS, "sends")                                                                          \
	X(BYTES_OUT, "bytes_out")                                                                  \
	X(BYTES_IN, "bytes_in")

enum count {
#define X(name, text) COUNT_##name,
	COUNTS(X)
#undef X
		COUNT_COUNT
};

extern int64_t counts[COUNT_COUNT];

const char *count_text(enum count which);
