/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX (&HISTORY_PREFIX[sizeof(PATH_HISTORY)]) /* "claim-" */

static void on_trimmed(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct history *history = userdata;

	(void)result;
	(void)reply;
	history->op = NULL;
}

static bool is_entry(const char *name)
{
	return !strncmp(name, PREFIX, strlen(PREFIX)) && strlen(name) < NAME_SIZE;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void trim(struct history *history, const char **entries, size_t count)
{
	struct zkh_txn *txn = zkh_txn_create(history->session);
	size_t surplus = count - HISTORY_KEPT;
	char path[ZKH_PATH_MAX];

	if (!txn)
		return;
	qsort(entries, count, sizeof(*entries), compare);
	for (size_t i = 0; i < surplus && i < HISTORY_TRIM_MAX; i++)
		if (zkh_path_join(PATH_HISTORY, entries[i], path) == 0)
			zkh_txn_delete(txn, path, ZKH_ANY_VERSION);
	zkh_commit(txn, on_trimmed, history, &history->op);
}

static void on_list(void *userdata, int result, const char *const *names, size_t count,
		    const struct zkh_stat *stat)
{
	struct history *history = userdata;
	const char **entries;
	size_t n = 0;

	(void)stat;
	history->op = NULL;
	if (result != ZKH_OK || count <= HISTORY_KEPT)
		return;
	entries = calloc(count, sizeof(*entries));
	if (!entries)
		return;
	for (size_t i = 0; i < count; i++)
		if (is_entry(names[i]))
			entries[n++] = names[i];
	if (n > HISTORY_KEPT)
		trim(history, entries, n);
	free(entries);
}

void history_trim(struct history *history, struct zkh_session *session)
{
	history_finish(history);
	history->session = session;
	zkh_children(session, PATH_HISTORY, false, on_list, history, &history->op);
}

void history_finish(struct history *history)
{
	zkh_op_cancel(history->op);
	history->op = NULL;
}
