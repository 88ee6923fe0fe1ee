/* SPDX-License-Identifier: Apache-2.0 */
#include "view.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/fnv.h"

static void open_part(struct view_slot *slot, const char *path);

static void junk(struct view_slot *slot, const char *data, size_t length, const char *what)
{
	struct view *view = slot->view;
	uint64_t h = fnv_add(FNV_START, data, length < KEY_VALUE_MAX ? length : KEY_VALUE_MAX);

	if (view->junk_seen[slot->part] == h)
		return;
	view->junk_seen[slot->part] = h;
	view->on_junk(view->userdata, zkh_mirror_path(&slot->mirror), what);
}

static void part_known(struct view_slot *slot)
{
	slot->known = true;
	slot->view->on_change(slot->view->userdata);
}

/* Whose the post is counts from moment to moment: that it is not known any more is news, as is a refusal. */
static void part_unknown(struct view_slot *slot, bool refused)
{
	bool news = refused || (slot->known && slot->part == VIEW_POST);

	slot->known = false;
	if (news)
		slot->view->on_change(slot->view->userdata);
}

/* -- what each part makes of its data -- */

static void follow_holder(struct view *view)
{
	struct view_slot *slot = &view->slots[VIEW_HOLDER];
	char path[KEY_PATH_SIZE];

	zkh_mirror_close(&slot->mirror);
	slot->known = false;
	slot->used = view->coordinator && *view->holder && strcmp(view->holder, view->name);
	if (!slot->used)
		return;
	node_key_path(view->holder, NODE_KEY_ALIVE, path);
	open_part(slot, path);
}

static void take_key(struct view_slot *slot, const char *data, size_t length,
		     const struct zkh_stat *stat)
{
	struct view *view = slot->view;
	char name[NAME_SIZE] = "", text[NAME_SIZE];
	/* Its sign of life as it was seen may be older than that: it died, came back, and was named again. */
	bool is_named_anew = stat && stat->mzxid != view->key_mzxid;

	view->key_missing = !stat;
	view->key_version = stat ? stat->version : -1;
	view->key_mzxid = stat ? stat->mzxid : 0;
	view->key_mtime_ms = stat ? stat->mtime_ms : 0;
	if (data && !value_name(data, length, name) &&
	    !(value_text(data, length, text, sizeof(text)) && !strcmp(text, NAME_NONE)))
		junk(slot, data, length, "is not a node name: taken as absent");
	if (is_named_anew || strcmp(name, view->holder) ||
	    !zkh_mirror_is_open(&view->slots[VIEW_HOLDER].mirror)) {
		strcpy(view->holder, name);
		follow_holder(view);
	}
}

/* A primary that a reload made a client: the release of its post checks the version of /epoch, which clients do not read. */
static void need_epoch(struct view *view)
{
	struct view_slot *slot = &view->slots[VIEW_EPOCH];

	if (slot->used)
		return;
	slot->used = true;
	open_part(slot, PATH_EPOCH);
}

static void take_post(struct view_slot *slot, const char *data, size_t length,
		      const struct zkh_stat *stat)
{
	struct view *view = slot->view;

	view->primary[0] = '\0';
	view->epoch = 0;
	view->post_owner = 0;
	if (!stat)
		return;
	/* Whatever it says: while it is there, somebody may be acting. A persistent one has no owner. */
	view->post_owner = stat->ephemeral_owner ? stat->ephemeral_owner : -1;
	if (view->post_owner == zkh_session_id(view->session))
		need_epoch(view);
	if (!stat->ephemeral_owner)
		junk(slot, "", 0,
		     "is not ephemeral: nobody takes the role until somebody deletes it");
	else if (data && !value_post(data, length, view->primary, &view->epoch))
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
static bool take_alive(struct view_slot *slot, const struct zkh_stat *stat)
{
	if (stat && !stat->ephemeral_owner)
		junk(slot, "", 0, "is not ephemeral: taken as absent");
	return stat && stat->ephemeral_owner;
}

static bool take_maintenance(struct view_slot *slot, const char *data, size_t length,
			     const struct zkh_stat *stat)
{
	struct view *view = slot->view;
	bool clear = true;
	bool on;

	view->maintenance_end_ms = 0;
	view->maintenance_version = stat ? stat->version : -1;
	view->maintenance_mzxid = stat ? stat->mzxid : 0;
	on = data && value_maintenance(data, length, &clear, &view->maintenance_end_ms);

	if (!clear)
		junk(slot, data, length, "is neither true nor false: taken as true");
	return on;
}

/* stat: NULL, the key is missing; data: NULL, or it may not be read. */
static void take(struct view_slot *slot, const char *data, size_t length,
		 const struct zkh_stat *stat)
{
	struct view *view = slot->view;

	switch (slot->part) {
	case VIEW_KEY:
		take_key(slot, data, length, stat);
		break;
	case VIEW_POST:
		take_post(slot, data, length, stat);
		break;
	case VIEW_EPOCH:
		take_epoch(slot, data, length, stat);
		break;
	case VIEW_HOLDER:
		view->holder_alive = take_alive(slot, stat);
		break;
	case VIEW_DRAIN:
		view->drained = stat;
		break;
	case VIEW_ALIVE:
		view->alive = take_alive(slot, stat);
		break;
	case VIEW_MAINTENANCE:
		view->maintenance = take_maintenance(slot, data, length, stat);
		break;
	case VIEW_PARTS:
		assert(false);
	}
}

static void say_refused(struct view_slot *slot, int result)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "may not be read: %s; its value is ignored until it can be read",
		 zkh_result_text(result));
	junk(slot, text, strlen(text), text);
	slot->refused = true;
}

static void on_part(void *userdata, int result, const char *data, size_t length,
		    const struct zkh_stat *stat)
{
	struct view_slot *slot = userdata;

	if (result == ZKH_UNKNOWN) {
		part_unknown(slot, false);
		return;
	}
	if (result != ZKH_OK && result != ZKH_NO_NODE) {
		bool news = !slot->refused;

		say_refused(slot, result);
		/* What is written at its version, and who has the role, must have been read. */
		if (!stat || slot->part <= VIEW_POST) {
			part_unknown(slot, news);
			return;
		}
	} else if (slot->refused) {
		/* Should it be refused once more, that is news. */
		slot->view->junk_seen[slot->part] = 0;
		slot->refused = false;
	}
	take(slot, data, length, stat);
	part_known(slot);
}

static void open_part(struct view_slot *slot, const char *path)
{
	unsigned rare = slot->part == VIEW_DRAIN || slot->part == VIEW_MAINTENANCE ? ZKH_MIRROR_RARE
										   : 0;

	(void)zkh_mirror_open(&slot->mirror, slot->view->session, path, ZKH_MIRROR_SYNCED | rare,
			      on_part, slot);
}

void view_init(struct view *view, const char *name, bool coordinator, view_fn on_change,
	       view_junk_fn on_junk, void *userdata)
{
	*view = (struct view){ .name = name,
			       .coordinator = coordinator,
			       .on_change = on_change,
			       .on_junk = on_junk,
			       .userdata = userdata };
	for (int i = 0; i < VIEW_PARTS; i++) {
		struct view_slot *slot = &view->slots[i];

		*slot = (struct view_slot){ .view = view, .part = (enum view_part)i };
		slot->used = i == VIEW_KEY || i == VIEW_POST || (coordinator && i != VIEW_HOLDER);
	}
}

void view_finish(struct view *view)
{
	for (int i = 0; i < VIEW_PARTS; i++)
		zkh_mirror_close(&view->slots[i].mirror);
}

void view_start(struct view *view, struct zkh_session *session)
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

		if (slot->used && paths[i] && !zkh_mirror_is_open(&slot->mirror))
			open_part(slot, paths[i]);
	}
}

void view_forget(struct view *view)
{
	for (int i = 0; i < VIEW_PARTS; i++)
		view->slots[i].known = false;
}

void view_stop(struct view *view)
{
	view_forget(view);
	view_finish(view);
}

void view_refresh(struct view *view)
{
	static const enum view_part parts[] = { VIEW_EPOCH, VIEW_KEY, VIEW_POST };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct view_slot *slot = &view->slots[parts[i]];

		if (!zkh_mirror_is_open(&slot->mirror))
			continue;
		zkh_mirror_refresh(&slot->mirror);
		part_unknown(slot, false);
	}
}

void view_key_written(struct view *view, const char *holder, const struct zkh_stat *stat)
{
	struct view_slot *slot = &view->slots[VIEW_KEY];

	take_key(slot, holder, strlen(holder), stat);
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

bool view_epoch_is_awaited(const struct view *view)
{
	const struct view_slot *epoch = &view->slots[VIEW_EPOCH];

	return epoch->used && !epoch->known && !epoch->refused;
}

bool view_is_refused(const struct view *view)
{
	return view->slots[VIEW_POST].refused || view->slots[VIEW_EPOCH].refused;
}

bool view_is_blind(const struct view *view)
{
	return view_is_refused(view) || view->slots[VIEW_KEY].refused;
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
	 * Who acts is alive, whatever becomes of the sign of it; who has died loses the post along with it. A post that does
	 * not say whose it is may be his.
	 */
	if (view->slots[VIEW_POST].known && view->post_owner > 0 &&
	    (!*view->primary || !strcmp(view->holder, view->primary)))
		return KEY_OTHER;
	if (!holder->known || view->holder_alive)
		return KEY_OTHER;
	return view->slots[VIEW_POST].known ? KEY_DEAD : KEY_UNKNOWN;
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
		.post_epoch = view->epoch,
		.epoch_known = view->slots[VIEW_EPOCH].known,
	};
}
