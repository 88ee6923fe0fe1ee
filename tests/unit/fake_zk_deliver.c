/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_zk_internal.h"

#include <errno.h>
#include <string.h>

static char nowhere[] = ""; /* the path of session events */

void fz_enqueue(struct fz_queue *queue, struct fz_completion *completion)
{
	completion->next = NULL;
	*queue->tail = completion;
	queue->tail = &completion->next;
}

struct fz_completion *fz_dequeue(struct fz_queue *queue)
{
	struct fz_completion *completion = queue->head;

	if (!completion)
		return NULL;
	queue->head = completion->next;
	if (!queue->head)
		queue->tail = &queue->head;
	return completion;
}

void fz_free_watchers(struct fz_watcher *list)
{
	while (list) {
		struct fz_watcher *watcher = list;

		list = watcher->next;
		free(watcher->path);
		free(watcher);
	}
}

/* Each (function, context) once, as the library does. */
void fz_add_watcher(struct fz_watcher **list, const struct fz_watcher *what, bool any_path)
{
	struct fz_watcher *watcher;

	for (watcher = *list; watcher; watcher = watcher->next) {
		if (watcher->fn == what->fn && watcher->context == what->context &&
		    (any_path || strcmp(watcher->path, what->path) == 0))
			return;
	}
	watcher = fz_alloc(sizeof(*watcher));
	*watcher = *what;
	watcher->path = fz_strdup(what->path);
	watcher->next = *list;
	*list = watcher;
}

bool fz_remove_watcher(struct fz_watcher **list, const struct fz_watcher *what)
{
	for (; *list; list = &(*list)->next) {
		struct fz_watcher *watcher = *list;

		if (watcher->fn != what->fn || watcher->context != what->context ||
		    strcmp(watcher->path, what->path) != 0)
			continue;
		*list = watcher->next;
		watcher->next = NULL;
		fz_free_watchers(watcher);
		return true;
	}
	return false;
}

static void collect(struct fz_watcher **table, const char *path, struct fz_watcher **list)
{
	while (*table) {
		struct fz_watcher *watcher = *table;

		if (strcmp(watcher->path, path) != 0) {
			table = &watcher->next;
			continue;
		}
		*table = watcher->next;
		fz_add_watcher(list, watcher, true);
		watcher->next = NULL;
		fz_free_watchers(watcher);
	}
}

struct fz_watcher *fz_collect_for(zhandle_t *zh, int event, const char *path)
{
	struct fz_watcher *list = NULL;

	if (event == ZOO_SESSION_EVENT) {
		fz_add_watcher(&list,
			       &(struct fz_watcher){
				       .fn = zh->watcher, .context = zh->context, .path = nowhere },
			       true);
		for (int kind = 0; kind < FZ_WATCH_KINDS; kind++) {
			for (struct fz_watcher *watcher = zh->tables[kind]; watcher;
			     watcher = watcher->next)
				fz_add_watcher(&list, watcher, true);
		}
		return list;
	}
	if (event != ZOO_CHILD_EVENT) {
		collect(&zh->tables[FZ_WATCH_DATA], path, &list);
		collect(&zh->tables[FZ_WATCH_EXIST], path, &list);
	}
	if (event == ZOO_CHILD_EVENT || event == ZOO_DELETED_EVENT)
		collect(&zh->tables[FZ_WATCH_CHILD], path, &list);
	return list;
}

/* ---- Delivery ---- */

static const char *client_path(const zhandle_t *zh, const char *path)
{
	size_t length = zh->chroot ? strlen(zh->chroot) : 0;

	if (!length || strncmp(path, zh->chroot, length) != 0)
		return path;
	return path[length] ? path + length : "/";
}

static void fill_results(zhandle_t *zh, struct fz_completion *completion)
{
	int rc = completion->rc;

	for (int i = 0; i < completion->count; i++) {
		zoo_op_result_t *to = &completion->results[i];
		const struct fz_result *from = completion->rc == ZOK && completion->packet
						       ? &completion->packet->results[i]
						       : NULL;

		to->err = from ? from->err : completion->rc;
		if (rc == ZOK && from && from->err != ZOK && from->err != ZRUNTIMEINCONSISTENCY)
			rc = from->err;
		if (from && from->err == ZOK && from->path && to->value && to->valuelen > 0) {
			const char *path = client_path(zh, from->path);
			size_t length = strlen(path) + 1;

			if (length > (size_t)to->valuelen)
				length = (size_t)to->valuelen;
			memcpy(to->value, path, length - 1);
			to->value[length - 1] = 0;
		} else {
			to->value = NULL;
		}
		if (from && from->err == ZOK && to->stat && from->stat.mzxid)
			*to->stat = from->stat;
		else
			to->stat = NULL;
	}
	/* A failed transaction reports success for what was rolled back; nothing of it may be believed. */
	completion->rc = rc;
}

static void call_completion(zhandle_t *zh, struct fz_completion *completion)
{
	struct fz_packet *packet = completion->packet;
	bool failed = completion->rc != ZOK;

	switch (completion->type) {
	case ZOO_EXISTS_OP:
		completion->stat_fn(completion->rc, failed ? NULL : &packet->stat,
				    completion->data);
		break;
	case ZOO_GETDATA_OP:
		completion->data_fn(completion->rc, failed ? NULL : packet->data,
				    failed ? 0 : packet->length, failed ? NULL : &packet->stat,
				    completion->data);
		break;
	case ZOO_GETCHILDREN2_OP:
		completion->strings_fn(completion->rc, failed ? NULL : &packet->strings,
				       failed ? NULL : &packet->stat, completion->data);
		break;
	case ZOO_GETACL_OP:
		completion->acl_fn(completion->rc, failed ? NULL : &packet->acl,
				   failed ? NULL : &packet->stat, completion->data);
		break;
	case ZOO_SYNC_OP:
		completion->string_fn(completion->rc, failed ? NULL : client_path(zh, packet->path),
				      completion->data);
		break;
	case ZOO_MULTI_OP:
		fill_results(zh, completion);
		completion->void_fn(completion->rc, completion->data);
		break;
	default:
		abort();
	}
}

void fz_free_completion(struct fz_completion *completion)
{
	fz_free_watchers(completion->watcher);
	fz_free_watchers(completion->deliver);
	fz_packet_free(completion->packet);
	free(completion);
}

void fz_process_completions(zhandle_t *zh)
{
	struct fz_completion *completion;

	while ((completion = fz_dequeue(&zh->finished))) {
		if (completion->event) {
			const char *path = completion->packet
						   ? client_path(zh, completion->packet->path)
						   : "";

			for (struct fz_watcher *watcher = completion->deliver; watcher;
			     watcher = watcher->next)
				watcher->fn(zh, completion->event, completion->state, path,
					    watcher->context);
		} else {
			call_completion(zh, completion);
		}
		fz_free_completion(completion);
	}
}

void fz_session_event(zhandle_t *zh, int state)
{
	struct fz_completion *completion = fz_alloc(sizeof(*completion));

	completion->event = ZOO_SESSION_EVENT;
	completion->state = state;
	completion->deliver = fz_collect_for(zh, ZOO_SESSION_EVENT, "");
	fz_enqueue(&zh->finished, completion);
	fz_process_completions(zh);
}
