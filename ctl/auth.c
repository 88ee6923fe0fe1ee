/* SPDX-License-Identifier: Apache-2.0 */

/*
 * auth: another credential takes the place of the nodes' own, while they run. `rotate` lets the two of the auth-file do
 * the same everywhere; `revoke` takes one out of every list. Both may be repeated, and go on where they were interrupted.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "digest.h"
#include "zk/tree/zkh_keys.h"
#include "zk/zkh_acl.h"

#define TREE_MAX 20000
#define TRIES 5 /* for a list that others change at the same moment */

struct auth {
	struct ctl *ctl;
	char ids[CONFIG_AUTH_MAX]
		[DIGEST_ID_SIZE]; /* of the auth-file, without the one to be revoked */
	unsigned count;
	char old[DIGEST_ID_SIZE]; /* to be revoked; "": nothing is */
	size_t changed, unchanged, refused;
	/* The keys, as absolute or relative paths as the session has it. */
	char **paths;
	size_t path_count;
	bool over;
	int result;
	struct zkh_acl *acl;
};

/* -- answers -- */

static bool is_over(void *userdata)
{
	return ((struct auth *)userdata)->over;
}

static void on_acl(void *userdata, int result, struct zkh_acl *acl)
{
	struct auth *auth = userdata;

	auth->over = true;
	auth->result = result;
	auth->acl = acl;
}

static void on_set(void *userdata, int result)
{
	struct auth *auth = userdata;

	auth->over = true;
	auth->result = result;
}

/* r: what starting it returned. CTL_DONE: auth->result tells. */
static int await(struct auth *auth, int r, struct zkh_op *op)
{
	int code;

	if (r != 0) {
		auth->result = r > 0 ? r : ZKH_FAILED;
		return CTL_DONE;
	}
	code = ctl_wait(auth->ctl, is_over, auth);
	if (code != CTL_DONE) {
		zkh_op_cancel(op);
		return ctl_explain_wait(auth->ctl, code, "changing access lists (repeat it)");
	}
	return CTL_DONE;
}

/* -- one list -- */

/* Everybody of the auth-file may do what one of them may. NULL: out of memory. */
static struct zkh_acl *join(const struct auth *auth, struct zkh_acl *acl, bool *ret_changed)
{
	unsigned rights[CONFIG_AUTH_MAX], all = 0;

	for (unsigned i = 0; i < auth->count; i++)
		all |= rights[i] = zkh_acl_rights(acl, "digest", auth->ids[i]);
	for (unsigned i = 0; acl && i < auth->count; i++) {
		struct zkh_acl *edited;

		if (rights[i] == all)
			continue;
		edited = zkh_acl_edit(acl, "digest", auth->ids[i], all);
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

/* One attempt; auth->result: of the last request, ZKH_OK also when there was nothing to do. */
static int change_once(struct auth *auth, const char *path, bool *ret_changed, bool *ret_refused)
{
	struct zkh_op *op = NULL;
	int code;

	*ret_changed = *ret_refused = auth->over = false;
	auth->acl = NULL;
	code = await(auth, zkh_acl_get(auth->ctl->session, path, on_acl, auth, &op), op);
	if (code != CTL_DONE || auth->result != ZKH_OK)
		return code;
	auth->acl = *auth->old ? strike(auth, auth->acl, ret_changed, ret_refused)
			       : join(auth, auth->acl, ret_changed);
	if (!auth->acl)
		auth->result = ZKH_FAILED;
	else if (*ret_changed && !auth->ctl->options.dry_run) {
		auth->over = false;
		op = NULL;
		code = await(auth,
			     zkh_acl_set(auth->ctl->session, path, auth->acl, on_set, auth, &op),
			     op);
	}
	zkh_acl_free(auth->acl);
	return code;
}

/* above: of a key above the root, which may be anybody's: what does not name us is left alone without a word. */
static int change(struct auth *auth, const char *path, bool above)
{
	bool changed, refused;
	int code, tries = 0;

	do
		code = change_once(auth, path, &changed, &refused);
	while (code == CTL_DONE && auth->result == ZKH_CONFLICT && ++tries < TRIES);
	if (code != CTL_DONE || auth->result == ZKH_NO_NODE ||
	    (above && auth->result == ZKH_DENIED))
		return code;
	if (refused) {
		ctl_error(
			"%s: the credential of the auth-file may not do there what the old one may; left as it is "
			"(primaryctl auth rotate, with both in the auth-file)",
			path);
		auth->refused++;
	} else if (auth->result != ZKH_OK) {
		(void)ctl_explain_result(auth->ctl, auth->result, path);
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

	auth->over = true;
	auth->result = result;
	auth->paths = calloc(count + 1, sizeof(*auth->paths));
	for (size_t i = 0; auth->paths && i < count; i++) {
		auth->paths[i] = strdup(entries[i].path);
		if (!auth->paths[i])
			break;
		auth->path_count++;
		if (!entries[i].denied || !entries[i].stat.children)
			continue;
		ctl_error("%s may not be read: the keys below it are left as they are",
			  entries[i].path);
		auth->refused++;
	}
	if (result == ZKH_OK && auth->path_count < count)
		auth->result = ZKH_FAILED;
}

static int change_below_root(struct auth *auth)
{
	struct zkh_task *task = NULL;
	int code = CTL_DONE, r;

	auth->over = false;
	r = zkh_tree(auth->ctl->session, "/", TREE_MAX, on_tree, auth, &task);
	if (r != 0)
		return ctl_explain_result(auth->ctl, r, "/");
	code = ctl_wait(auth->ctl, is_over, auth);
	if (code != CTL_DONE) {
		zkh_task_cancel(task);
		return ctl_explain_wait(auth->ctl, code, "reading the keys");
	}
	if (auth->result != ZKH_OK)
		return ctl_explain_result(auth->ctl, auth->result, "/");
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

static bool take_id(const struct config_credential *from, const char *file, char *ret_id)
{
	if (strcmp(from->scheme, "digest") == 0)
		digest_id(from->credential, ret_id);
	if (strcmp(from->scheme, "digest") == 0 && *ret_id)
		return true;
	ctl_error("%s: scheme %s: only digest credentials can be changed in this way", file,
		  from->scheme);
	return false;
}

/* What is to be revoked, from its file. */
static int take_old(struct auth *auth, const char *file)
{
	char message[CONFIG_ERROR_SIZE];
	struct config_auth old;
	int code = CTL_DONE;

	if (config_load_auth(file, &old, message, sizeof(message)) != 0) {
		ctl_error("%s", message);
		return CTL_REFUSED;
	}
	if (old.count != 1) {
		ctl_error("%s holds two credentials: name a file that holds the old one alone",
			  file);
		code = CTL_REFUSED;
	} else if (!take_id(&old.list[0], file, auth->old)) {
		code = CTL_REFUSED;
	}
	explicit_bzero(&old, sizeof(old));
	return code;
}

static int take_credentials(struct auth *auth, const char *old_file)
{
	struct ctl *ctl = auth->ctl;
	const char *file = ctl->config.zookeeper.auth_file;
	int code = old_file ? take_old(auth, old_file) : CTL_DONE;

	for (unsigned i = 0; code == CTL_DONE && ctl->has_auth && i < ctl->auth.count; i++) {
		if (!take_id(&ctl->auth.list[i], file, auth->ids[auth->count]))
			code = CTL_REFUSED;
		else if (strcmp(auth->ids[auth->count], auth->old) != 0)
			auth->count++;
	}
	if (code == CTL_DONE && !ctl->has_auth) {
		ctl_error("name the credential with zookeeper.auth-file, or --auth-file");
		code = CTL_REFUSED;
	} else if (code == CTL_DONE && !auth->count) {
		ctl_error(
			"%s is what is to be revoked: put the new credential into the auth-file of all nodes first",
			file);
		code = CTL_REFUSED;
	} else if (code == CTL_DONE && !old_file && auth->count != 2) {
		ctl_error("%s holds one credential: put the new one on a second line, on all nodes",
			  file);
		code = CTL_REFUSED;
	}
	return code;
}

static int tell(const struct auth *auth)
{
	const char *done = auth->ctl->options.dry_run ? "to be changed" : "changed";

	if (auth->ctl->options.json)
		printf("{\n  \"changed\": %zu,\n  \"unchanged\": %zu,\n  \"refused\": %zu\n}\n",
		       auth->changed, auth->unchanged, auth->refused);
	else
		printf("access lists: %zu %s, %zu as they should be, %zu refused\n", auth->changed,
		       done, auth->unchanged, auth->refused);
	return ctl_flush();
}

int verb_auth(struct ctl *ctl)
{
	struct auth auth = { .ctl = ctl };
	const char *what = ctl->options.arguments[0], *file = ctl->options.arguments[1];
	int code;

	if ((strcmp(what, "rotate") != 0 || file) && (strcmp(what, "revoke") != 0 || !file)) {
		ctl_error("usage: primaryctl auth rotate, or: primaryctl auth revoke FILE");
		return CTL_USAGE;
	}
	code = take_credentials(&auth, file);
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
