/* SPDX-License-Identifier: Apache-2.0 */

/*
 * auth: changes the credential of the nodes while they run. `rotate` gives both credentials of the auth-file the same
 * rights everywhere; `revoke` removes one from every list. Both can be repeated, and continue where they were
 * interrupted.
 */

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "zk/zkh_digest.h"
#include "zk/tree/zkh_keys.h"
#include "zk/zkh_acl.h"

#define TREE_MAX 20000
#define TRIES 5 /* for a list that others change at the same moment */

struct auth {
	struct ctl *ctl;
	char ids[CONFIG_AUTH_MAX]
		[ZKH_DIGEST_ID_SIZE]; /* of the auth-file, without the one to be revoked */
	unsigned count;
	char old[ZKH_DIGEST_ID_SIZE]; /* to be revoked; "": nothing is */
	size_t changed, unchanged, refused;
	/* The keys, as paths below the root of the session. */
	char **paths;
	size_t path_count;
	struct ctl_reply reply;
	struct zkh_acl *acl;
};

static void on_acl(void *userdata, int result, struct zkh_acl *acl)
{
	struct auth *auth = userdata;

	ctl_on_result(&auth->reply, result);
	auth->acl = acl;
}

/* r: what starting the request returned. CTL_DONE: the result is in auth->reply. */
static int await(struct auth *auth, int r, struct zkh_op **op)
{
	int code = CTL_DONE;

	if (r != 0)
		auth->reply.result = r > 0 ? r : ZKH_FAILED;
	else
		code = ctl_await(auth->ctl, &auth->reply.over,
				 "changing access lists (run it again)");
	if (code != CTL_DONE)
		zkh_op_cancel(*op);
	auth->reply.over = false;
	return code;
}

/* -- one list -- */

/* Everybody of the auth-file may do what one of them may. */
static struct zkh_acl *join(const struct auth *auth, struct zkh_acl *acl, bool *ret_changed)
{
	unsigned rights[CONFIG_AUTH_MAX], all = 0;

	for (unsigned i = 0; i < auth->count; i++)
		all |= rights[i] = zkh_acl_rights(acl, "digest", auth->ids[i]);
	for (unsigned i = 0; i < auth->count; i++) {
		struct zkh_acl *edited;

		if (rights[i] == all)
			continue;
		edited = ctl_need(zkh_acl_edit(acl, "digest", auth->ids[i], all));
		zkh_acl_free(acl);
		acl = edited;
		*ret_changed = true;
	}
	return acl;
}

/* *ret_refused: nobody of the auth-file may do what the old one may: the key would be lost. */
static struct zkh_acl *strike(const struct auth *auth, struct zkh_acl *acl, bool *ret_changed,
			      bool *ret_refused)
{
	unsigned rights = zkh_acl_rights(acl, "digest", auth->old);
	struct zkh_acl *edited;

	if (!rights)
		return acl;
	*ret_refused = true;
	for (unsigned i = 0; i < auth->count; i++)
		if ((zkh_acl_rights(acl, "digest", auth->ids[i]) & rights) == rights)
			*ret_refused = false;
	if (*ret_refused)
		return acl;
	*ret_changed = true;
	edited = zkh_acl_edit(acl, "digest", auth->old, 0);
	zkh_acl_free(acl);
	return edited;
}

/* One attempt; auth->reply.result: of the last request, ZKH_OK also when there was nothing to do. */
static int change_once(struct auth *auth, const char *path, bool *ret_changed, bool *ret_refused)
{
	struct zkh_session *session = auth->ctl->session;
	struct zkh_op *op = NULL;
	int code;

	*ret_changed = *ret_refused = false;
	code = await(auth, zkh_acl_get(session, path, on_acl, auth, &op), &op);
	if (code != CTL_DONE || auth->reply.result != ZKH_OK)
		return code;
	auth->acl = ctl_need(*auth->old ? strike(auth, auth->acl, ret_changed, ret_refused)
					: join(auth, auth->acl, ret_changed));
	if (*ret_changed && !auth->ctl->options.dry_run)
		code = await(auth,
			     zkh_acl_set(session, path, auth->acl, ctl_on_result, &auth->reply,
					 &op),
			     &op);
	zkh_acl_free(auth->acl);
	return code;
}

/* above: the key is above the root and may belong to others; a list that does not name us is left alone silently. */
static int change(struct auth *auth, const char *path, bool above)
{
	bool changed, refused;
	int code, tries = 0;

	do
		code = change_once(auth, path, &changed, &refused);
	while (code == CTL_DONE && auth->reply.result == ZKH_CONFLICT && ++tries < TRIES);
	if (code != CTL_DONE || auth->reply.result == ZKH_NO_NODE ||
	    (above && auth->reply.result == ZKH_DENIED))
		return code;
	if (refused) {
		ctl_error(
			"%s: unchanged, because the credential of the auth-file has fewer rights there than the old one (primaryctl auth rotate, with both in the auth-file)",
			path);
		auth->refused++;
	} else if (auth->reply.result != ZKH_OK) {
		(void)ctl_explain_result(auth->ctl, auth->reply.result, path);
		auth->refused++;
	} else if (changed) {
		auth->changed++;
	} else {
		auth->unchanged++;
	}
	return CTL_DONE;
}

/* -- all of them -- */

static void on_tree(void *userdata, int result, const struct zkh_entry *entries, size_t count)
{
	struct auth *auth = userdata;

	ctl_on_result(&auth->reply, result);
	auth->paths = ctl_need(calloc(count + 1, sizeof(*auth->paths)));
	for (size_t i = 0; i < count; i++) {
		auth->paths[auth->path_count++] = ctl_need(strdup(entries[i].path));
		if (!entries[i].denied || !entries[i].stat.children)
			continue;
		ctl_error("%s cannot be read: the keys below it are unchanged", entries[i].path);
		auth->refused++;
	}
}

static int change_below_root(struct auth *auth)
{
	struct zkh_task *task = NULL;
	int r = zkh_tree(auth->ctl->session, "/", TREE_MAX, on_tree, auth, &task);
	int code = ctl_finish(auth->ctl, r, &auth->reply, "/", "reading the keys");

	if (!auth->reply.over)
		zkh_task_cancel(task);
	auth->reply.over = false;
	for (size_t i = 0; code == CTL_DONE && i < auth->path_count; i++)
		code = change(auth, auth->paths[i], false);
	return code;
}

/* A daemon made these, too, when it made the root; and would need them to make it again. */
static int change_above_root(struct auth *auth)
{
	struct ctl *ctl = auth->ctl;
	char root[ZKH_PATH_MAX], *slash;
	int code;

	snprintf(root, sizeof(root), "%s", ctl->config.zookeeper.root);
	if (!strchr(root + 1, '/'))
		return CTL_DONE;
	ctl->session = zkh_session_destroy(ctl->session);
	strcpy(ctl->config.zookeeper.root, "/");
	code = ctl_connect(ctl);
	while (code == CTL_DONE && (slash = strrchr(root, '/')) != root) {
		*slash = '\0';
		code = change(auth, root, true);
	}
	return code;
}

/* -- the verb -- */

/* The credential's name in access lists. */
static int take_id(const struct config_credential *from, const char *file, char *ret_id)
{
	*ret_id = '\0';
	if (strcmp(from->scheme, "digest") == 0)
		(void)ctl_need(zkh_digest_id(from->credential, ret_id) == 0 ? ret_id : NULL);
	if (*ret_id)
		return CTL_DONE;
	ctl_error("%s: scheme %s: only digest credentials can be changed in this way", file,
		  from->scheme);
	return CTL_REFUSED;
}

/* Reads the credential to be revoked from its file. */
static int take_old(struct auth *auth, const char *file)
{
	char message[CONFIG_ERROR_SIZE];
	struct config_auth old;
	int code = CTL_REFUSED;

	if (config_load_auth(file, &old, message, sizeof(message)) != 0)
		ctl_error("%s", message);
	else if (old.count != 1)
		ctl_error("%s holds two credentials: name a file that holds the old one alone",
			  file);
	else
		code = take_id(&old.list[0], file, auth->old);
	explicit_bzero(&old, sizeof(old));
	return code;
}

static int take_credentials(struct auth *auth, const char *old_file)
{
	struct ctl *ctl = auth->ctl;
	const char *file = ctl->config.zookeeper.auth_file;
	int code = old_file ? take_old(auth, old_file) : CTL_DONE;

	for (unsigned i = 0; code == CTL_DONE && ctl->has_auth && i < ctl->auth.count; i++) {
		code = take_id(&ctl->auth.list[i], file, auth->ids[auth->count]);
		auth->count += strcmp(auth->ids[auth->count], auth->old) != 0;
	}
	if (code != CTL_DONE)
		return code;
	if (!ctl->has_auth)
		ctl_error("name the credential with zookeeper.auth-file, or --auth-file");
	else if (!auth->count)
		ctl_error(
			"%s holds only the credential that is to be revoked: put the new one into the auth-file of all nodes first",
			file);
	else if (!old_file && auth->count != 2)
		ctl_error("%s holds one credential: put the new one on a second line, on all nodes",
			  file);
	else
		return CTL_DONE;
	return CTL_REFUSED;
}

static int tell(const struct auth *auth)
{
	const char *done = auth->ctl->options.dry_run ? "to be changed" : "changed";
	struct json_object *object;

	if (!auth->ctl->options.json) {
		printf("access lists: %zu %s, %zu already correct, %zu refused\n", auth->changed,
		       done, auth->unchanged, auth->refused);
		return ctl_flush();
	}
	object = ctl_need(json_object_new_object());
	json_object_object_add(object, "changed", json_object_new_int64((int64_t)auth->changed));
	json_object_object_add(object, "unchanged",
			       json_object_new_int64((int64_t)auth->unchanged));
	json_object_object_add(object, "refused", json_object_new_int64((int64_t)auth->refused));
	puts(json_object_to_json_string_ext(object,
					    JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
	json_object_put(object);
	return ctl_flush();
}

/* old_file: holds the credential to be revoked; NULL: none is. */
static int change_all(struct ctl *ctl, const char *old_file)
{
	struct auth auth = { .ctl = ctl };
	int code = take_credentials(&auth, old_file);

	ctl_set_timeout(ctl, MOVE_TIMEOUT_US);
	if (code == CTL_DONE)
		code = change_below_root(&auth);
	if (code == CTL_DONE)
		code = change_above_root(&auth);
	if (code == CTL_DONE)
		code = tell(&auth);
	for (size_t i = 0; i < auth.path_count; i++)
		free(auth.paths[i]);
	free(auth.paths);
	return code == CTL_DONE && auth.refused ? CTL_REFUSED : code;
}

int verb_auth_rotate(struct ctl *ctl)
{
	return change_all(ctl, NULL);
}

int verb_auth_revoke(struct ctl *ctl)
{
	return change_all(ctl, ctl->options.arguments[0]);
}
