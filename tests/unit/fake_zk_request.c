/* SPDX-License-Identifier: Apache-2.0 */
#include "zk/zkh_digest.h"
#include "fake_zk_internal.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

static int32_t last_xid = 1000;

/* The client's own end was shut down: the next send gets EPIPE. */
bool fz_is_shut(const zhandle_t *zh)
{
	struct pollfd poll_fd = { .fd = zh->fd, .events = POLLIN };

	if (!zh->connection || zh->connection->fd < 0)
		return false;
	return poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & POLLHUP;
}

int fz_flush_requests(zhandle_t *zh)
{
	while (zh->to_send && fz_is_connected(zh) && zh->fd >= 0) {
		struct fz_request *request = zh->to_send, *next = request->next;

		if (fz_is_shut(zh))
			return ZSYSTEMERROR;
		request->next = NULL;
		if (!fz_server_take(zh->connection, request)) {
			request->next = next;
			return ZSYSTEMERROR;
		}
		zh->to_send = next;
		if (!next)
			zh->to_send_tail = &zh->to_send;
		zh->last_send = fz_now_ms();
	}
	return ZOK;
}

/* No event, nothing is called: what was pending stays so. */
static void send_now(zhandle_t *zh)
{
	if (fz_flush_requests(zh) == ZOK || zh->fd < 0)
		return;
	fz_close_socket(zh);
	zh->state = ZOO_NOTCONNECTED_STATE;
}

static bool path_valid(const char *path)
{
	size_t length = path ? strlen(path) : 0;

	if (!length || path[0] != '/')
		return false;
	if (length == 1)
		return true;
	if (path[length - 1] == '/')
		return false;
	for (const char *part = path; part; part = strchr(part + 1, '/')) {
		size_t part_length = strcspn(part + 1, "/");

		if (part_length == 0 || (part_length == 1 && part[1] == '.') ||
		    (part_length == 2 && part[1] == '.' && part[2] == '.'))
			return false;
	}
	for (; *path; path++) {
		if ((unsigned char)*path < 0x1f)
			return false;
	}
	return true;
}

/* NULL: not valid. */
static char *server_path(const zhandle_t *zh, const char *path)
{
	char *full;

	if (!path_valid(path))
		return NULL;
	if (!zh->chroot)
		return fz_strdup(path);
	full = fz_alloc(strlen(zh->chroot) + strlen(path) + 1);
	strcpy(full, zh->chroot);
	if (path[1])
		strcat(full, path);
	return full;
}

static int send_request(zhandle_t *zh, struct fz_request *request, struct fz_completion *completion)
{
	completion->xid = request->xid = last_xid++;
	completion->type = request->type;
	if (!completion->void_fn)
		abort();
	if (fz_server_number(&request->ordinal)) {
		fz_request_free(request);
		fz_free_completion(completion);
		return ZMARSHALLINGERROR;
	}
	fz_enqueue(&zh->sent, completion);
	*zh->to_send_tail = request;
	zh->to_send_tail = &request->next;
	send_now(zh);
	return ZOK;
}

static int send_read(zhandle_t *zh, int type, const char *path, watcher_fn watcher, void *context,
		     struct fz_completion template)
{
	char *full = server_path(zh, path);
	struct fz_completion *completion;
	struct fz_request *request;

	if (!full)
		return ZBADARGUMENTS;
	if (is_unrecoverable(zh)) {
		free(full);
		return ZINVALIDSTATE;
	}
	fz_counts.watches += watcher != NULL;
	completion = fz_alloc(sizeof(*completion));
	*completion = template;
	if (watcher)
		fz_add_watcher(&completion->watcher,
			       &(struct fz_watcher){
				       .fn = watcher, .context = context, .path = full },
			       true);
	request = fz_alloc(sizeof(*request));
	*request = (struct fz_request){ .type = type, .path = full, .watch = watcher };
	return send_request(zh, request, completion);
}

int zoo_aremove_watches(zhandle_t *zh, const char *path, ZooWatcherType type, watcher_fn watcher,
			void *context, int local, void_completion_t *completion, const void *data)
{
	bool found = false;

	if (!local || type != ZWATCHTYPE_ANY)
		abort();
	for (int kind = 0; kind < FZ_WATCH_KINDS; kind++)
		found |= fz_remove_watcher(&zh->tables[kind],
					   &(struct fz_watcher){ .fn = watcher,
								 .context = context,
								 .path = (char *)path });
	return found ? ZOK : ZNOWATCHER;
}

int zoo_awget(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
	      data_completion_t completion, const void *data)
{
	fz_counts.gets++;
	return send_read(zh, ZOO_GETDATA_OP, path, watcher, context,
			 (struct fz_completion){ .data_fn = completion, .data = data });
}

int zoo_aget(zhandle_t *zh, const char *path, int watch, data_completion_t completion,
	     const void *data)
{
	return zoo_awget(zh, path, watch ? zh->watcher : NULL, zh->context, completion, data);
}

int zoo_awexists(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
		 stat_completion_t completion, const void *data)
{
	fz_counts.exists++;
	return send_read(zh, ZOO_EXISTS_OP, path, watcher, context,
			 (struct fz_completion){ .stat_fn = completion, .data = data });
}

int zoo_aexists(zhandle_t *zh, const char *path, int watch, stat_completion_t completion,
		const void *data)
{
	return zoo_awexists(zh, path, watch ? zh->watcher : NULL, zh->context, completion, data);
}

int zoo_awget_children2(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
			strings_stat_completion_t completion, const void *data)
{
	fz_counts.children++;
	return send_read(zh, ZOO_GETCHILDREN2_OP, path, watcher, context,
			 (struct fz_completion){ .strings_fn = completion, .data = data });
}

int zoo_aget_children2(zhandle_t *zh, const char *path, int watch,
		       strings_stat_completion_t completion, const void *data)
{
	return zoo_awget_children2(zh, path, watch ? zh->watcher : NULL, zh->context, completion,
				   data);
}

int zoo_aget_acl(zhandle_t *zh, const char *path, acl_completion_t completion, const void *data)
{
	fz_counts.acls++;
	return send_read(zh, ZOO_GETACL_OP, path, NULL, NULL,
			 (struct fz_completion){ .acl_fn = completion, .data = data });
}

/* No test edits lists here: real servers are asked. */
int zoo_aset_acl(zhandle_t *zh, const char *path, int version, struct ACL_vector *acl,
		 void_completion_t completion, const void *data)
{
	return ZUNIMPLEMENTED;
}

int zoo_async(zhandle_t *zh, const char *path, string_completion_t completion, const void *data)
{
	fz_counts.syncs++;
	return send_read(zh, ZOO_SYNC_OP, path, NULL, NULL,
			 (struct fz_completion){ .string_fn = completion, .data = data });
}

/* ---- Transactions ---- */

void zoo_create_op_init(zoo_op_t *op, const char *path, const char *value, int valuelen,
			const struct ACL_vector *acl, int mode, char *path_buffer,
			int path_buffer_len)
{
	op->type = ZOO_CREATE_OP;
	op->create_op.path = path;
	op->create_op.data = value;
	op->create_op.datalen = valuelen;
	op->create_op.acl = acl;
	op->create_op.flags = mode;
	op->create_op.ttl = 0;
	op->create_op.buf = path_buffer;
	op->create_op.buflen = path_buffer_len;
}

void zoo_delete_op_init(zoo_op_t *op, const char *path, int version)
{
	op->type = ZOO_DELETE_OP;
	op->delete_op.path = path;
	op->delete_op.version = version;
}

void zoo_set_op_init(zoo_op_t *op, const char *path, const char *buffer, int buflen, int version,
		     struct Stat *stat)
{
	op->type = ZOO_SETDATA_OP;
	op->set_op.path = path;
	op->set_op.data = buffer;
	op->set_op.datalen = buflen;
	op->set_op.version = version;
	op->set_op.stat = stat;
}

void zoo_check_op_init(zoo_op_t *op, const char *path, int version)
{
	op->type = ZOO_CHECK_OP;
	op->check_op.path = path;
	op->check_op.version = version;
}

/* Of the lists there are, the fake knows those with one entry: the creator's, one digest's, everybody's. */
static void copy_acl(const zhandle_t *zh, const struct ACL_vector *from, struct fz_op *op)
{
	const struct Id *id = &from->data[0].id;
	char own[ZKH_DIGEST_ID_SIZE];

	for (const struct fz_auth *auth = zh->auths; auth; auth = auth->next) {
		(void)zkh_digest_id(auth->credential, own);
		op->creator_only = op->creator_only || strcmp(id->id, own) == 0;
	}
	op->creator_only = op->creator_only || strcmp(id->scheme, "auth") == 0;
	if (op->creator_only)
		return;
	if (strcmp(id->scheme, "digest") == 0)
		op->credential = fz_strdup(id->id);
}

static struct fz_op copy_op(const zhandle_t *zh, const zoo_op_t *from, zoo_op_result_t *result)
{
	struct fz_op op = { .type = from->type };

	switch (from->type) {
	case ZOO_CREATE_OP:
		op.path = server_path(zh, from->create_op.path);
		op.data = fz_memdup(from->create_op.data, from->create_op.datalen);
		op.length = op.data ? from->create_op.datalen : -1;
		op.flags = from->create_op.flags;
		copy_acl(zh, from->create_op.acl, &op);
		result->value = from->create_op.buf;
		result->valuelen = from->create_op.buflen;
		break;
	case ZOO_DELETE_OP:
		op.path = server_path(zh, from->delete_op.path);
		op.version = from->delete_op.version;
		break;
	case ZOO_SETDATA_OP:
		op.path = server_path(zh, from->set_op.path);
		op.data = fz_memdup(from->set_op.data, from->set_op.datalen);
		op.length = op.data ? from->set_op.datalen : -1;
		op.version = from->set_op.version;
		result->stat = from->set_op.stat;
		break;
	case ZOO_CHECK_OP:
		op.path = server_path(zh, from->check_op.path);
		op.version = from->check_op.version;
		break;
	default:
		break;
	}
	if (!op.path)
		abort(); /* as the real one: a double free */
	return op;
}

int zoo_amulti(zhandle_t *zh, int count, const zoo_op_t *ops, zoo_op_result_t *results,
	       void_completion_t completion_fn, const void *data)
{
	struct fz_completion *completion;
	struct fz_request *request;

	fz_counts.multis++;
	if (is_unrecoverable(zh))
		abort(); /* as with an invalid path */
	completion = fz_alloc(sizeof(*completion));
	*completion = (struct fz_completion){
		.void_fn = completion_fn,
		.data = data,
		.results = results,
		.count = count,
	};
	request = fz_alloc(sizeof(*request));
	*request = (struct fz_request){ .type = ZOO_MULTI_OP, .count = count };
	request->ops = fz_alloc((size_t)(count + 1) * sizeof(struct fz_op));
	for (int i = 0; i < count; i++)
		request->ops[i] = copy_op(zh, &ops[i], &results[i]);
	return send_request(zh, request, completion);
}
