/* SPDX-License-Identifier: Apache-2.0 */
#include "view.h"

#include <assert.h>
#include <string.h>

#include "base/fnv.h"

static void read_part(struct view_slot *slot);

static void junk(struct view_slot *slot, const char *data, size_t length, const char *what)
{
	struct view *view = slot->view;
	uint64_t h = fnv_add(FNV_START, data, length < KEY_VALUE_MAX ? length : KEY_VALUE_MAX);

	if (view->junk_seen[slot->part] == h)
		return;
	view->junk_seen[slot->part] = h;
	view->on_junk(view->userdata, slot->watch.path, what);
}

static void part_known(struct view_slot *slot)
{
	slot->known = true;
	slot->view->on_change(slot->view->userdata);
}

/* Whose the post is counts from moment to moment: that it is not known any more is news. */
static void part_unknown(struct view_slot *slot)
{
	bool news = slot->known && slot->part == VIEW_POST;

	slot->known = false;
	if (news)
		slot->view->on_change(slot->view->userdata);
}

/* Points the slot at another path. */
static int watch_path(struct view_slot *slot, const char *path)
{
	struct view *view = slot->view;

	if (slot->watch.path && slot->watch.session == view->session &&
	    !strcmp(slot->watch.path, path))
		return 0;
	zkh_watch_remove(&slot->watch);
	return zkh_watch_add(view->session, &slot->watch, path);
}

/* -- what each part makes of its data -- */

static void follow_holder(struct view *view)
{
	struct view_slot *slot = &view->slots[VIEW_HOLDER];
	char path[KEY_PATH_SIZE];

	zkh_op_cancel(slot->op);
	slot->op = NULL;
	slot->known = false;
	slot->used = view->coordinator && *view->holder && strcmp(view->holder, view->name);
	if (!slot->used) {
		zkh_watch_remove(&slot->watch);
		return;
	}
	node_key_path(view->holder, NODE_KEY_ALIVE, path);
	if (watch_path(slot, path) == 0)
		read_part(slot);
}

static void take_key(struct view_slot *slot, const char *data, size_t length)
{
	struct view *view = slot->view;
	char name[NAME_SIZE] = "", text[NAME_SIZE];

	if (data && !value_name(data, length, name) &&
	    !(value_text(data, length, text, sizeof(text)) && !strcmp(text, NAME_NONE)))
		junk(slot, data, length, "is not a node name: taken as absent");
	if (strcmp(name, view->holder) || !view->slots[VIEW_HOLDER].known) {
		strcpy(view->holder, name);
		follow_holder(view);
	}
}

static void take_post(struct view_slot *slot, const char *data, size_t length,
		      const struct zkh_stat *stat)
{
	struct view *view = slot->view;

	view->primary[0] = '\0';
	view->epoch = 0;
	view->post_owner = 0;
	if (!data)
		return;
	/* Whatever it says: while it is there, somebody may be acting. A persistent one has no owner. */
	view->post_owner = stat->ephemeral_owner ? stat->ephemeral_owner : -1;
	if (!stat->ephemeral_owner)
		junk(slot, data, length,
		     "is not ephemeral: nobody takes the role until somebody deletes it");
	else if (!value_post(data, length, view->primary, &view->epoch))
		junk(slot, data, length, "does not say NAME EPOCH");
}

void view_remember_epoch(struct view *view, int64_t epoch)
{
	if (epoch > view->memory_epoch)
		view->memory_epoch = epoch;
}

/* Junk was never handed out: the next takeover writes over it, at its version. */
static void take_epoch(struct view_slot *slot, const char *data, size_t length,
		       const struct zkh_stat *stat)
{
	struct view *view = slot->view;

	view->top_epoch = 0;
	view->top_owner[0] = '\0';
	view->top_version = data ? stat->version : -1;
	if (data && !value_epoch(data, length, &view->top_epoch, view->top_owner))
		junk(slot, data, length, "does not say EPOCH NAME: taken as 0");
	view_remember_epoch(view, view->top_epoch);
}

/* A sign of life that outlives its session is none. */
static bool take_alive(struct view_slot *slot, const char *data, size_t length,
		       const struct zkh_stat *stat)
{
	if (data && !stat->ephemeral_owner)
		junk(slot, data, length, "is not ephemeral: taken as absent");
	return data && stat->ephemeral_owner;
}

static bool take_maintenance(struct view_slot *slot, const char *data, size_t length)
{
	bool clear = true;
	bool on = data && value_maintenance(data, length, &clear);

	if (!clear)
		junk(slot, data, length, "is neither true nor false: taken as true");
	return on;
}

static void on_data(void *userdata, int result, const char *data, size_t length,
		    const struct zkh_stat *stat);

/* What a key that may not be read tells by being there; that nobody can forbid to see. */
static void on_stat(void *userdata, int result, const struct zkh_stat *stat)
{
	struct view_slot *slot = userdata;
	struct view *view = slot->view;

	if (result != ZKH_OK) {
		on_data(slot, result, NULL, 0, NULL);
		return;
	}
	slot->op = NULL;
	if (slot->part == VIEW_POST) {
		view->primary[0] = '\0';
		view->epoch = 0;
		view->post_owner = stat->ephemeral_owner ? stat->ephemeral_owner : -1;
	} else if (slot->part == VIEW_HOLDER) {
		view->holder_alive = stat->ephemeral_owner;
	} else if (slot->part == VIEW_ALIVE) {
		view->alive = stat->ephemeral_owner;
	} else if (slot->part == VIEW_DRAIN) {
		view->drained = true;
	} else {
		view->maintenance = false;
	}
	part_known(slot);
}

static const char *refusal_text(enum view_part part, int result)
{
	if (result != ZKH_DENIED)
		return "cannot be read";
	if (part == VIEW_MAINTENANCE)
		return "may not be read: is its access list in order? Until it may, it is taken for "
		       "off, whatever it says";
	if (part == VIEW_DRAIN)
		return "may not be read: is its access list in order? This node is drained all the "
		       "same, since it is there";
	return "may not be read: is its access list in order?";
}

/* Not because the connection went away: then all is read again. */
static void read_refused(struct view_slot *slot, int result)
{
	struct view *view = slot->view;
	const char *why = zkh_result_text(result);

	if (result == ZKH_UNKNOWN || result == ZKH_NOT_CONNECTED)
		return;
	slot->refused = true;
	junk(slot, why, strlen(why), refusal_text(slot->part, result));
	view->on_refused(view->userdata);
	/* What the news of a deletion told is as of then, and no watch tells what came after it. */
	if (result != ZKH_DENIED || slot->part == VIEW_KEY || slot->part == VIEW_EPOCH)
		part_unknown(slot);
	else
		zkh_exists(view->session, slot->watch.path, true, on_stat, slot, &slot->op);
}

static void on_data(void *userdata, int result, const char *data, size_t length,
		    const struct zkh_stat *stat)
{
	struct view_slot *slot = userdata;
	struct view *view = slot->view;

	slot->op = NULL;
	if (result != ZKH_OK && result != ZKH_NO_NODE) {
		read_refused(slot, result);
		return;
	}
	/* Should it be refused once more, that is news. */
	if (slot->refused)
		view->junk_seen[slot->part] = 0;
	slot->refused = false;
	if (result == ZKH_NO_NODE)
		data = NULL;
	switch (slot->part) {
	case VIEW_KEY:
		view->key_missing = !data;
		view->key_version = data ? stat->version : -1;
		view->key_mzxid = data ? stat->mzxid : 0;
		view->key_mtime_ms = data ? stat->mtime_ms : 0;
		take_key(slot, data, length);
		break;
	case VIEW_POST:
		take_post(slot, data, length, stat);
		break;
	case VIEW_EPOCH:
		take_epoch(slot, data, length, stat);
		break;
	case VIEW_HOLDER:
		view->holder_alive = take_alive(slot, data, length, stat);
		break;
	case VIEW_DRAIN:
		view->drained = data;
		break;
	case VIEW_ALIVE:
		view->alive = take_alive(slot, data, length, stat);
		break;
	case VIEW_MAINTENANCE:
		view->maintenance = take_maintenance(slot, data, length);
		break;
	case VIEW_PARTS:
		assert(false);
	}
	part_known(slot);
}

/* Missing, as expected, and the watch is armed; else its data are wanted. */
static void on_exists(void *userdata, int result, const struct zkh_stat *stat)
{
	struct view_slot *slot = userdata;

	(void)stat;
	slot->op = NULL;
	if (result == ZKH_OK)
		zkh_get(slot->view->session, slot->watch.path, true, on_data, slot, &slot->op);
	else
		on_data(slot, result, NULL, 0, NULL);
}

/* As read_part(), with one request instead of two if the key is not there. What is known stays known. */
static void probe_part(struct view_slot *slot)
{
	zkh_op_cancel(slot->op);
	slot->op = NULL;
	zkh_exists(slot->view->session, slot->watch.path, true, on_exists, slot, &slot->op);
}

static void read_part(struct view_slot *slot)
{
	zkh_op_cancel(slot->op);
	slot->op = NULL;
	part_unknown(slot);
	zkh_get(slot->view->session, slot->watch.path, true, on_data, slot, &slot->op);
}

static void on_watch(void *userdata, enum zkh_watch_event event, const char *path)
{
	struct view_slot *slot = userdata;
	struct view *view = slot->view;

	if (event == ZKH_WATCH_CHILDREN || !zkh_session_connected(view->session))
		return;
	if (event != ZKH_WATCH_DELETED) {
		read_part(slot);
		return;
	}
	slot->known = false;
	/* The news itself says all: a takeover need not wait for the read, nor go behind it. */
	if (slot->part == VIEW_POST) {
		take_post(slot, NULL, 0, NULL);
		part_known(slot);
	}
	if (slot->watch.path && zkh_session_connected(view->session))
		probe_part(slot);
}

void view_init(struct view *view, const char *name, bool coordinator, view_fn on_change,
	       view_junk_fn on_junk, view_refused_fn on_refused, void *userdata)
{
	*view = (struct view){ .name = name,
			       .coordinator = coordinator,
			       .on_change = on_change,
			       .on_junk = on_junk,
			       .on_refused = on_refused,
			       .userdata = userdata };
	for (int i = 0; i < VIEW_PARTS; i++) {
		struct view_slot *slot = &view->slots[i];

		*slot = (struct view_slot){ .view = view, .part = (enum view_part)i };
		slot->watch.fn = on_watch;
		slot->watch.userdata = slot;
		slot->used = i == VIEW_KEY || i == VIEW_POST || (coordinator && i != VIEW_HOLDER);
	}
}

void view_finish(struct view *view)
{
	for (int i = 0; i < VIEW_PARTS; i++) {
		zkh_op_cancel(view->slots[i].op);
		view->slots[i].op = NULL;
		zkh_watch_remove(&view->slots[i].watch);
	}
}

int view_start(struct view *view, struct zkh_session *session)
{
	char drain[KEY_PATH_SIZE], alive[KEY_PATH_SIZE];
	const char *const paths[VIEW_PARTS] = {
		[VIEW_EPOCH] = PATH_EPOCH, [VIEW_KEY] = PATH_PRIMARY,
		[VIEW_POST] = PATH_POST,   [VIEW_DRAIN] = drain,
		[VIEW_ALIVE] = alive,	   [VIEW_MAINTENANCE] = PATH_MAINTENANCE,
	};

	node_key_path(view->name, NODE_KEY_DRAIN, drain);
	node_key_path(view->name, NODE_KEY_ALIVE, alive);
	view->session = session;
	for (int i = 0; i < VIEW_PARTS; i++) {
		struct view_slot *slot = &view->slots[i];
		int r;

		if (!slot->used || !paths[i])
			continue;
		r = watch_path(slot, paths[i]);
		if (r != 0)
			return r;
		if (i == VIEW_DRAIN || i == VIEW_MAINTENANCE)
			probe_part(slot);
		else
			read_part(slot);
	}
	return 0;
}

void view_forget(struct view *view)
{
	for (int i = 0; i < VIEW_PARTS; i++) {
		zkh_op_cancel(view->slots[i].op);
		view->slots[i].op = NULL;
		view->slots[i].known = false;
	}
}

void view_refresh(struct view *view)
{
	for (int i = VIEW_EPOCH; i <= VIEW_POST; i++)
		if (view->slots[i].used)
			read_part(&view->slots[i]);
}

void view_retry(struct view *view)
{
	for (int i = 0; i < VIEW_PARTS; i++) {
		struct view_slot *slot = &view->slots[i];

		/* What is known meanwhile stays so: the answer may be the same. */
		if (slot->used && slot->refused && !slot->op && slot->watch.path)
			zkh_get(view->session, slot->watch.path, true, on_data, slot, &slot->op);
	}
}

void view_key_written(struct view *view, const char *holder, const struct zkh_stat *stat)
{
	struct view_slot *slot = &view->slots[VIEW_KEY];

	view->key_missing = false;
	view->key_version = stat->version;
	view->key_mzxid = stat->mzxid;
	view->key_mtime_ms = stat->mtime_ms;
	take_key(slot, holder, strlen(holder));
	slot->known = true; /* a read that is under way tells the same or something newer */
}

void view_post_written(struct view *view, bool mine, int64_t epoch)
{
	strcpy(view->primary, mine ? view->name : "");
	view->post_owner = mine ? zkh_session_id(view->session) : 0;
	view->epoch = mine ? epoch : 0;
	view->slots[VIEW_POST].known = true;
}

void view_epoch_written(struct view *view, int64_t epoch, const char *owner, int32_t version)
{
	view->top_epoch = epoch;
	strcpy(view->top_owner, owner);
	view->top_version = version;
	view->slots[VIEW_EPOCH].known = true;
	view_remember_epoch(view, epoch);
}

bool view_complete(const struct view *view)
{
	for (int i = VIEW_POST + 1; i < VIEW_PARTS; i++)
		if (view->slots[i].used && !view->slots[i].known)
			return false;
	return true;
}

static enum election_key election_key(const struct view *view)
{
	const struct view_slot *holder = &view->slots[VIEW_HOLDER];

	/* Nothing is decided on the key before all that goes with it is known; what is told of the post never waits. */
	if (!view->slots[VIEW_KEY].known || !view_complete(view))
		return KEY_UNKNOWN;
	if (view->key_missing)
		return KEY_MISSING;
	if (!*view->holder)
		return KEY_NONE;
	if (!strcmp(view->holder, view->name))
		return KEY_ME;
	/*
	 * Who acts is alive, whatever becomes of the sign of it; who has died loses the post along with it. A post that may not
	 * be read may be his.
	 */
	if (view->slots[VIEW_POST].known && view->post_owner > 0 &&
	    (!*view->primary || !strcmp(view->holder, view->primary)))
		return KEY_OTHER;
	return holder->known && !view->holder_alive && view->slots[VIEW_POST].known ? KEY_DEAD
										    : KEY_OTHER;
}

static enum election_post election_post(const struct view *view)
{
	if (!view->slots[VIEW_POST].known)
		return POST_UNKNOWN;
	if (!view->post_owner)
		return POST_NONE;
	return view->post_owner == zkh_session_id(view->session) ? POST_MINE : POST_OTHER;
}

void view_election(const struct view *view, struct election_view *ret_view)
{
	*ret_view = (struct election_view){
		.key = (uint8_t)election_key(view),
		.post = (uint8_t)election_post(view),
		.key_version = view->key_version,
		.key_mzxid = view->key_mzxid,
		.drained = view->drained,
		.maintenance = view->maintenance,
		.absent = view->coordinator && !view->alive,
		.epoch = view->memory_epoch > view->floor_epoch ? view->memory_epoch
								: view->floor_epoch,
		.epoch_known = view->slots[VIEW_EPOCH].known,
	};
}
