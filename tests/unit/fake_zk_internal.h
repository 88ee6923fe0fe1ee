/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside fake_zk*.c only: the tree, the servers' side and the client's side, bottom up. */

#include "fake_zk.h"

/* ---- fake_zk_tree.c ---- */

struct fz_op {
	int type; /* ZOO_CREATE_OP, ZOO_DELETE_OP, ZOO_SETDATA_OP, ZOO_CHECK_OP */
	char *path;
	char *data;
	int length;
	int version;
	int flags;
	bool creator_only;
	char *credential; /* the one that its access list names, or NULL */
};

struct fz_result {
	int err;
	char *path;
	struct Stat stat;
};

struct fz_node {
	char *path;
	char *data; /* NULL: the null value */
	int length;
	struct Stat stat;
	int creates;
	char *credential;
	struct fz_node *parent, *child, *sibling, *hash_next;
};

void fz_ops_free(struct fz_op *ops, int count);
void fz_results_free(struct fz_result *results, int count);

void fz_tree_reset(void);
struct fz_node *fz_tree_find(const char *path);
int64_t fz_tree_zxid(void);
void fz_tree_set_back(void); /* its zxid only */
bool fz_tree_may(const struct fz_node *node, const char *credential);
/* All or nothing. Returns the first error; results as a server reports them; fires events when committed. */
int fz_tree_commit(const struct fz_op *ops, int count, int64_t session, const char *credential,
		   struct fz_result *results);
void fz_tree_drop_ephemerals(int64_t session);
char *fz_tree_dump(bool stats);

/* ---- fake_zk_server.c ---- */

enum fz_packet_kind { FZ_CONNECTED, FZ_REPLY, FZ_EVENT, FZ_PING, FZ_AUTH };

struct fz_packet {
	struct fz_packet *next;
	enum fz_packet_kind kind;
	int xid;
	int err;
	int64_t zxid;
	int event;  /* FZ_EVENT */
	char *path; /* FZ_EVENT */
	clientid_t id;
	int timeout_ms;
	char *data; /* NULL: the null value */
	int length;
	struct Stat stat;
	struct String_vector strings;
	struct ACL_vector acl;
	struct fz_result *results;
	int count;
};
void fz_packet_free(struct fz_packet *packet);

struct fz_request {
	struct fz_request *next;
	int xid;
	int type; /* ZOO_*_OP */
	char *path;
	bool watch;
	struct fz_op *ops;
	int count;
	unsigned ordinal;
};
void fz_request_free(struct fz_request *request);

struct fz_watch {
	struct fz_watch *next;
	bool child;
	char *path;
};

struct fz_session {
	struct fz_session *next;
	clientid_t id;
	int timeout_ms;
	struct fz_connection *connection;
};

struct fz_connection {
	struct fz_connection *next;
	zhandle_t *handle; /* to name the sender only */
	int fd;
	bool silent;
	bool token;	  /* the head of its first packet lies in the socket */
	bool turn;	  /* when paced: a packet may come through */
	bool turned_away; /* closed in answer to the handshake's request */
	bool ended;	  /* its session was closed: nothing more may be read */
	char *credential;
	struct fz_session *session;
	struct fz_watch *watches;
	struct fz_packet *head, **tail;
};

extern struct fake_zk_counts fz_counts;

void fz_server_reset(void);
/* The peer's end of a socketpair becomes a connection; NULL: refused. */
struct fz_connection *fz_server_accept(zhandle_t *handle, int fd);
void fz_server_greet(struct fz_connection *connection, const clientid_t *id, bool seen,
		     int timeout_ms, int64_t last_zxid);
void fz_server_drop(struct fz_connection *connection); /* closes it: the session lives on */
/* False: the fate is a silent close, the request was not taken. Else owned (freed) by the server. */
bool fz_server_take(struct fz_connection *connection, struct fz_request *request);
void fz_server_ping(struct fz_connection *connection);
void fz_server_auth(struct fz_connection *connection, const char *scheme, const char *credential);
/* What a client asks for again after it reconnected: armed, or fired when it missed something. */
enum fz_watch_kind { FZ_WATCH_DATA, FZ_WATCH_EXIST, FZ_WATCH_CHILD, FZ_WATCH_KINDS };
void fz_server_rewatch(struct fz_connection *connection, enum fz_watch_kind kind, const char *path,
		       int64_t last_zxid);
struct fz_packet *fz_server_next(struct fz_connection *connection); /* NULL: none */
void fz_server_fire(int event, const char *path);

/* ---- fake_zk_plan.c: faults and hooks ---- */

/* Numbers the requests of all handles; true: this one fails to be marshalled. */
bool fz_server_number(unsigned *ret_ordinal);
/* Runs the hook that was planned for it. */
void fz_plan_hook(unsigned ordinal, zhandle_t *handle);
/* Its fate, taken off the plan; false: none. */
bool fz_plan_fate(unsigned ordinal, enum fake_zk_way *ret_way);
void fz_plan_conflict(const struct fz_request *request, bool delete);
void fz_plan_reset(void);

/* ---- The client's side ---- */

#define ADDRESSES_MAX 128

/* A watcher as a table entry, a registration, or a delivery. */
struct fz_watcher {
	struct fz_watcher *next;
	watcher_fn fn;
	void *context;
	char *path;
};

struct fz_auth {
	struct fz_auth *next;
	char *scheme, *credential;
	void_completion_t completion;
	const void *data;
};

struct fz_completion {
	struct fz_completion *next;
	int xid;
	int type; /* ZOO_*_OP */
	union {
		void_completion_t void_fn;
		stat_completion_t stat_fn;
		data_completion_t data_fn;
		strings_stat_completion_t strings_fn;
		acl_completion_t acl_fn;
		string_completion_t string_fn;
	};
	const void *data;
	struct fz_watcher *watcher;
	zoo_op_result_t *results;
	int count;
	/* How it ended. */
	int rc;
	struct fz_packet *packet;   /* also of an event */
	struct fz_watcher *deliver; /* of an event */
	int event, state;
};

struct fz_queue {
	struct fz_completion *head, **tail;
};

struct _zhandle {
	struct _zhandle *next;
	watcher_fn watcher;
	void *context;
	log_callback_fn log;
	pid_t pid;
	int fd;
	int state;
	clientid_t id;
	bool seen;
	int recv_timeout;
	char *addresses[ADDRESSES_MAX];
	unsigned address_count, address_next, address_now;
	char *chroot;
	bool delay;
	bool refused; /* the connect fails when it is asked for */
	int references;
	bool close_requested;
	int64_t last_recv, last_send; /* ms */
	int64_t last_zxid;
	struct fz_connection *connection;
	struct fz_request *to_send, **to_send_tail;
	struct fz_queue sent, finished;
	struct fz_auth *auths;
	struct fz_watcher *tables[FZ_WATCH_KINDS];
};

/* fake_zk_deliver.c: watchers and completions */
void fz_enqueue(struct fz_queue *queue, struct fz_completion *completion);
struct fz_completion *fz_dequeue(struct fz_queue *queue);
void fz_free_watchers(struct fz_watcher *list);
void fz_free_completion(struct fz_completion *completion);
void fz_add_watcher(struct fz_watcher **list, const struct fz_watcher *what, bool any_path);
bool fz_remove_watcher(struct fz_watcher **list, const struct fz_watcher *what);
struct fz_watcher *fz_collect_for(zhandle_t *zh, int event, const char *path);
void fz_process_completions(zhandle_t *zh);
void fz_session_event(zhandle_t *zh, int state);

/* fake_zk_request.c: what is sent */
bool fz_is_shut(const zhandle_t *zh);
int fz_flush_requests(zhandle_t *zh);

/* fake_zk.c: the loop's side, and the end of a connection */
int64_t fz_now_ms(void);
bool fz_is_connected(const zhandle_t *zh);
void fz_close_socket(zhandle_t *zh);
void fz_drop_requests(zhandle_t *zh, int rc);
int fz_leave(zhandle_t *zh, int rc);

/* fake_zk_handle.c */
void *fz_alloc(size_t size); /* zeroed; never NULL */
char *fz_strdup(const char *text);
void *fz_memdup(const void *data,
		int length); /* NULL for NULL or negative length; NUL-terminated */
unsigned fz_handles_free_all(void);
extern int fz_log_level;
