/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_session.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "zkh_internal.h"

#define TIMEOUT_MIN_MS 100
#define TIMEOUT_MAX_MS 600000
#define CONNECT_TIMEOUT_MIN_MS 20
#define CREDENTIAL_MAX 1024

const char *zkh_session_event_text(enum zkh_session_event event)
{
	switch (event) {
#define X(name, text)                                                                              \
	case name:                                                                                 \
		return text;
		ZKH_SESSION_EVENTS(X)
#undef X
	}
	return "unknown event";
}

int64_t zkh_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* splitmix64: good enough to spread clients, and the same everywhere for one seed. */
uint32_t zkh_session_random(struct zkh_session *session, uint32_t below)
{
	uint64_t mixed = session->random += 0x9e3779b97f4a7c15u;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
	mixed ^= mixed >> 31;
	return below == 0 ? 0 : (uint32_t)(mixed % below);
}

int64_t zkh_session_pause_ms(struct zkh_session *session, int64_t base_ms)
{
	return base_ms / 2 + zkh_session_random(session, (uint32_t)base_ms + 1);
}

static int config_check(const struct zkh_session_config *config)
{
	const char *list = config->servers;
	struct zkh_server server;
	unsigned count = 0;
	int r;

	if (list == NULL || config->root == NULL || !zkh_path_valid(config->root))
		return ZKH_INVALID;
	if (config->timeout_ms < TIMEOUT_MIN_MS || config->timeout_ms > TIMEOUT_MAX_MS ||
	    config->connect_timeout_ms < 0 || config->connect_timeout_ms > TIMEOUT_MAX_MS)
		return ZKH_INVALID;
	for (size_t i = 0; i < ZKH_AUTH_MAX; i++) {
		const struct zkh_credential *auth = &config->auth[i];

		if ((auth->scheme == NULL) != (auth->credential == NULL))
			return ZKH_INVALID;
		if (auth->scheme != NULL &&
		    (strnlen(auth->scheme, CREDENTIAL_MAX) == CREDENTIAL_MAX ||
		     strnlen(auth->credential, CREDENTIAL_MAX) == CREDENTIAL_MAX))
			return ZKH_INVALID;
	}
	while ((r = zkh_server_next(&list, &server)) == 0)
		if (++count > ZKH_SERVERS_MAX)
			return ZKH_INVALID;
	return r == -ENOENT && count > 0 ? 0 : ZKH_INVALID;
}

static void session_free(struct zkh_session *session)
{
	zkh_addresses_finish(&session->addresses);
	free(session->watches);
	free(session->servers);
	free(session->root);
	for (size_t i = 0; i < ZKH_AUTH_MAX; i++) {
		char *credential = session->auth_credentials[i];

		free(session->auth_schemes[i]);
		if (credential != NULL)
			explicit_bzero(credential, strlen(credential));
		free(credential);
	}
	free(session);
}

static int session_copy_config(struct zkh_session *session, const struct zkh_session_config *config)
{
	session->servers = strdup(config->servers);
	session->root = strdup(config->root[1] == '\0' ? "" : config->root);
	if (session->servers == NULL || session->root == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < ZKH_AUTH_MAX && config->auth[i].scheme != NULL; i++) {
		session->auth_schemes[i] = strdup(config->auth[i].scheme);
		session->auth_credentials[i] = strdup(config->auth[i].credential);
		if (session->auth_schemes[i] == NULL || session->auth_credentials[i] == NULL)
			return -ENOMEM;
		/* Without it, keys would be open to the certificate of the tunnel as well. */
		if (strcmp(config->auth[i].scheme, "digest") == 0 &&
		    zkh_digest_id(config->auth[i].credential, session->digest_ids[i]) != 0)
			return -ENOMEM;
	}
	session->root_length = strlen(session->root);
	session->tunnel = config->tunnel;
	session->timeout_ms = config->timeout_ms;
	session->connect_timeout_ms = config->connect_timeout_ms > 0 ? config->connect_timeout_ms
								     : config->timeout_ms / 8;
	if (session->connect_timeout_ms < CONNECT_TIMEOUT_MIN_MS)
		session->connect_timeout_ms = CONNECT_TIMEOUT_MIN_MS;
	if (config->resume != NULL)
		session->id = *config->resume;
	session->random = config->seed;
	session->on_event = config->on_event;
	session->userdata = config->userdata;
	return 0;
}

int zkh_session_create(struct ev_loop *loop, const struct zkh_session_config *config,
		       struct zkh_session **ret_session)
{
	struct zkh_session *session;
	int r = config_check(config);

	if (r != 0)
		return r;
	session = calloc(1, sizeof(*session));
	if (session == NULL)
		return -ENOMEM;
	session->loop = loop;
	zkh_op_list_init(&session->sent);
	zkh_op_list_init(&session->refused);
	zkh_op_list_init(&session->unsure);
	r = session_copy_config(session, config);
	if (r == 0) {
		r = zkh_resolve_numeric(session->servers, session->tunnel, &session->addresses);
		/* A child looks them up as soon as the loop runs. */
		session->names = session->addresses.count == 0;
		if (r == -ENOENT)
			r = 0;
	}
	if (r < 0) {
		session_free(session);
		return r;
	}
	zkh_link_init(session);
	*ret_session = session;
	return 0;
}

void zkh_session_enter(struct zkh_session *session)
{
	session->depth++;
}

void zkh_session_leave(struct zkh_session *session)
{
	assert(session->depth > 0);
	if (session->depth > 1 || !session->destroyed) {
		session->depth--;
		return;
	}
	zkh_link_close_handle(session);
	session_free(session);
}

static bool session_run_hooks(struct zkh_session *session, enum zkh_hook hook)
{
	struct zkh_listener *listener;

	assert(session->listener_next == NULL);
	for (listener = session->listeners; listener != NULL; listener = session->listener_next) {
		session->listener_next = listener->next;
		listener->fn(listener, hook);
		if (session->destroyed)
			break;
	}
	session->listener_next = NULL;
	return !session->destroyed;
}

bool zkh_session_emit(struct zkh_session *session, enum zkh_session_event event, const char *detail)
{
	struct zkh_session_report report = {
		.event = event,
		.fresh = event == ZKH_CONNECTED && session->fresh,
		.timeout_ms = event == ZKH_CONNECTED ? session->granted_ms : 0,
		.detail = detail,
	};
	bool alive = !session->destroyed;

	assert(session->depth > 0);
	if (alive && event == ZKH_CONNECTED)
		alive = session_run_hooks(session, ZKH_HOOK_CONNECTED);
	else if (alive && event == ZKH_DISCONNECTED)
		alive = session_run_hooks(session, ZKH_HOOK_DISCONNECTED);
	else if (alive && event == ZKH_EXPIRED)
		alive = session_run_hooks(session, ZKH_HOOK_EXPIRED);
	if (alive && session->on_event != NULL)
		session->on_event(session->userdata, &report);
	return !session->destroyed;
}

struct zkh_session *zkh_session_destroy(struct zkh_session *session)
{
	struct zkh_listener *listener;

	if (session == NULL)
		return NULL;
	assert(!session->destroyed);
	zkh_session_enter(session);
	zkh_link_stop(session);
	zkh_resolve_stop(&session->resolver);
	zkh_doubt_end(session);
	while ((listener = session->listeners) != NULL) {
		zkh_listener_remove(listener);
		listener->fn(listener, ZKH_HOOK_DESTROY);
	}
	session->destroyed = true;
	session->listener_next = NULL;
	zkh_op_drop_all(session);
	zkh_watch_drop_all(session);
	zkh_session_leave(session);
	return NULL;
}

void zkh_session_kick(struct zkh_session *session)
{
	if (!session->destroyed && session->closing.state != ZKH_CLOSE_OVER &&
	    !ev_is_active(&session->kick))
		ev_timer_start(session->loop, &session->kick);
}

void zkh_session_cut(struct zkh_session *session)
{
	if (!zkh_link_has_socket(session))
		return;
	if (session->cut == NULL)
		session->cut = "given up";
	(void)shutdown(session->fd, SHUT_RDWR);
}

void zkh_session_reattach(struct zkh_session *session)
{
	if (!zkh_link_has_socket(session))
		return;
	if (session->cut == NULL) {
		session->cut = "attaching anew";
		session->stay = session->link == ZKH_LINK_UP;
	}
	(void)shutdown(session->fd, SHUT_RDWR);
}

void zkh_session_renew(struct zkh_session *session)
{
	if (session->closing.state != ZKH_CLOSE_NONE)
		return;
	session->renew = true;
	zkh_session_kick(session);
}

bool zkh_session_connected(const struct zkh_session *session)
{
	return session->link == ZKH_LINK_UP && !session->renew;
}

int64_t zkh_session_id(const struct zkh_session *session)
{
	return session->id.id;
}

bool zkh_session_client_id(const struct zkh_session *session, struct zkh_client_id *ret_id)
{
	if (session->id.id == 0)
		return false;
	*ret_id = session->id;
	return true;
}

int32_t zkh_session_timeout_ms(const struct zkh_session *session)
{
	return session->granted_ms;
}

int64_t zkh_session_zxid(const struct zkh_session *session)
{
	return session->zxid;
}

int64_t zkh_session_last_zxid(const struct zkh_session *session)
{
	return session->last_zxid;
}

const char *zkh_session_server(const struct zkh_session *session)
{
	return session->link == ZKH_LINK_UP ? session->server_name : "";
}

int zkh_session_path(const struct zkh_session *session, const char *path, char *ret_path)
{
	size_t length;

	if (path == NULL || !zkh_path_valid(path))
		return ZKH_INVALID;
	length = strlen(path);
	if (session->root_length > 0 && length == 1)
		length = 0;
	if (session->root_length + length >= ZKH_PATH_MAX)
		return ZKH_INVALID;
	memcpy(ret_path, session->root, session->root_length);
	memcpy(ret_path + session->root_length, path, length);
	ret_path[session->root_length + length] = '\0';
	return 0;
}

const char *zkh_session_strip(const struct zkh_session *session, const char *path)
{
	if (strncmp(path, session->root, session->root_length) != 0)
		return NULL;
	path += session->root_length;
	if (*path == '\0')
		return "/";
	return *path == '/' ? path : NULL;
}

void zkh_listener_add(struct zkh_session *session, struct zkh_listener *listener)
{
	assert(listener->fn != NULL && listener->link == NULL);
	listener->next = session->listeners;
	listener->link = &session->listeners;
	if (listener->next != NULL)
		listener->next->link = &listener->next;
	session->listeners = listener;
	listener->session = session;
}

void zkh_listener_remove(struct zkh_listener *listener)
{
	if (listener->link == NULL)
		return;
	if (listener->session->listener_next == listener)
		listener->session->listener_next = listener->next;
	*listener->link = listener->next;
	if (listener->next != NULL)
		listener->next->link = listener->link;
	listener->next = NULL;
	listener->link = NULL;
}

struct ev_loop *zkh_session_loop(const struct zkh_session *session)
{
	return session->loop;
}

void zkh_session_hold(struct zkh_session *session, int change)
{
	assert(change == 1 || (change == -1 && session->held > 0));
	session->held += (unsigned)change;
}

unsigned zkh_session_held(const struct zkh_session *session)
{
	return session->held;
}

struct zkh_mirrors **zkh_session_mirrors(struct zkh_session *session)
{
	return &session->mirrors;
}
