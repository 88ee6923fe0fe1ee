/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

/*
 * The mirror that the shell keeps of the keys: a part is known from the answer of a read that set a
 * watch until that watch fires; the core is told when all parts are known. See view.c.
 */

static void read_parts(struct sim *w, struct sim_node *n, uint16_t parts)
{
	struct sim_request *r;

	if (!parts)
		return;
	r = request_create(w, n, REQUEST_READ, FOR_VIEW);
	r->parts = parts;
	r->holder = n->mirror.seen.key;
	n->mirror.reading |= parts;
	request_send(w, r);
}

/* /epoch, then the key, then the post: each may see a later state than the one before. */
void shell_read(struct sim *w, struct sim_node *n, uint16_t parts)
{
	if (n->client.link != LINK_ATTACHED)
		return;
	if (w->params.apart) {
		read_parts(w, n, parts & PART_EPOCH);
		read_parts(w, n, parts & PART_KEY);
		read_parts(w, n, parts & ~(PART_EPOCH | PART_KEY));
		return;
	}
	read_parts(w, n, parts);
}

void shell_remember(struct sim *w, struct sim_node *n, int64_t epoch)
{
	if (epoch <= n->memory_epoch)
		return;
	n->memory_epoch = epoch;
	ensemble_note_epoch(&n->ensemble, epoch);
}

void shell_epoch(struct sim *w, struct sim_node *n, int64_t epoch, int8_t owner, int32_t version)
{
	n->mirror.seen.epoch = epoch;
	n->mirror.seen.epoch_owner = owner;
	n->mirror.seen.epoch_version = version;
	n->mirror.known |= PART_EPOCH;
	shell_remember(w, n, epoch);
}

static uint8_t view_key(const struct sim *w, const struct sim_node *n)
{
	const struct sim_mirror *m = &n->mirror;

	if (!(m->known & PART_KEY))
		return KEY_UNKNOWN;
	if (m->seen.key == NAMED_MISSING)
		return KEY_MISSING;
	if (m->seen.key < 0)
		return KEY_NONE;
	if (m->seen.key == (int8_t)n->id)
		return KEY_ME;
	if ((m->known & PART_POST) && m->seen.holder >= 0 &&
	    (m->nameless || m->seen.holder == m->seen.key) && !sim_mutated(w, MUTATION_DEAD_SIGN))
		return KEY_OTHER;
	if ((m->known & PART_ALIVE) && m->alive_of == m->seen.key && !m->seen.alive &&
	    (m->known & PART_POST || sim_mutated(w, MUTATION_DEAD_SIGN)))
		return KEY_DEAD;
	return KEY_OTHER;
}

uint8_t shell_post_seen(const struct sim_node *n)
{
	const struct sim_mirror *m = &n->mirror;

	if (!(m->known & PART_POST))
		return POST_UNKNOWN;
	if (m->seen.holder < 0)
		return POST_NONE;
	return m->seen.post_session == n->client.session ? POST_MINE : POST_OTHER;
}

/* Of the key nothing is told before all that goes with it has been read; of the post always, and at once. */
static bool view_complete(const struct sim_node *n)
{
	const struct sim_mirror *m = &n->mirror;
	uint16_t need = n->config.coordinator ? PART_DRAIN | PART_MAINT | PART_SELF : 0;

	return (m->known & need) == need;
}

void shell_tell_view(struct sim *w, struct sim_node *n)
{
	struct election_event ev = { .type = ELECTION_VIEW };

	if (n->client.link != LINK_ATTACHED || !ensemble_is_open(&n->ensemble))
		return;
	ev.view.key = view_complete(n) ? view_key(w, n) : KEY_UNKNOWN;
	if (ev.view.key != KEY_UNKNOWN && ev.view.key != KEY_MISSING) {
		ev.view.key_version = n->mirror.seen.key_version;
		ev.view.key_mzxid = n->mirror.seen.key_mzxid;
	}
	ev.view.post = shell_post_seen(n);
	ev.view.epoch_known = (n->mirror.known & PART_EPOCH) != 0;
	ev.view.epoch = n->memory_epoch;
	if (n->floor_epoch > ev.view.epoch)
		ev.view.epoch = n->floor_epoch;
	ev.view.drained = n->mirror.seen.drained;
	ev.view.maintenance = n->mirror.seen.maintenance;
	ev.view.absent = n->config.coordinator && !n->mirror.seen.self;
	shell_watch_primary(n);
	shell_tell(w, n, &ev);
	/* Somebody deleted our sign of life: without it the others take us for dead. */
	if (n->daemon == DAEMON_UP && n->config.coordinator && n->core.registered &&
	    (n->mirror.known & PART_SELF) && !n->mirror.seen.self)
		repair_begin(w, n);
}

void shell_watch(struct sim *w, struct sim_node *n, uint16_t parts)
{
	uint16_t again = parts & PARTS_ALL;

	if (parts & PART_LOCK)
		lock_watch(w, n);
	zkh_fire(n, parts);
	if (!again || !ensemble_is_open(&n->ensemble))
		return;
	n->mirror.known &= (uint16_t)~again;
	again &= (uint16_t)~n->mirror.reading;
	if (again)
		shell_read(w, n, again);
	if (parts & PART_POST_GONE) {
		/* The news itself says all. */
		n->mirror.seen.holder = -1;
		n->mirror.known |= PART_POST;
		shell_tell_view(w, n);
	} else if (parts & PART_POST || (!w->params.quiet && (parts & (PART_KEY | PART_POST |
								       PART_ALIVE | PART_EPOCH)))) {
		shell_tell_view(w, n);
	}
}

/*
 * Some of it may not be read, or cannot: what is denied tells by being there, but for the key; the
 * rest stays as it was known, or unknown. It is tried again each second.
 */
static void read_refused(struct sim *w, struct sim_node *n, struct sim_request *r)
{
	uint16_t refused = w->now < n->blind_until ? r->parts & n->blind : 0;
	struct sim_mirror *m = &n->mirror;

	m->refused = (uint16_t)((m->refused & ~r->parts) | refused);
	if (r->parts & PART_POST)
		m->nameless = refused & PART_POST && n->blind_denied;
	if (!refused)
		return;
	w->stats.faults[FAULT_BLIND]++;
	if (n->blind_denied) {
		r->seen.drained |= refused & PART_DRAIN && r->seen.drained;
		if (refused & PART_MAINT)
			r->seen.maintenance = 0;
		refused &= PART_KEY | PART_EPOCH;
	}
	m->known &= (uint16_t)~refused;
	m->reading &= (uint16_t)~refused;
	r->parts &= (uint16_t)~refused;
	if (!m->retrying && !sim_mutated(w, MUTATION_NO_RETRY)) {
		m->retrying = 1;
		sim_schedule(w, w->now + SEC, EVENT_RETRY, n->id, n->incarnation, 0);
	}
}

void shell_on_retry(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct sim_mirror *m = &n->mirror;

	if (ev->gen != n->incarnation || n->daemon != DAEMON_UP)
		return;
	m->retrying = 0;
	if (m->refused & (uint16_t)~m->reading)
		shell_read(w, n, m->refused & (uint16_t)~m->reading);
}

void shell_memory_due(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	int64_t now = clock_local(w, n);
	int64_t left;

	if (ev->gen != n->shell.memory_gen || n->daemon != DAEMON_UP)
		return;
	left = survivor_untold_us(&n->survivor, false, true, n->client.timeout, now) - now;
	if (left > 0) {
		sim_schedule(w, w->now + left, EVENT_MEMORY, n->id, n->shell.memory_gen, 0);
		return;
	}
	n->survivor.cluster_new_us = 0;
	ensemble_note_made(&n->ensemble, n->survivor.cluster_czxid);
}

void shell_take_view(struct sim *w, struct sim_node *n, struct sim_request *r)
{
	struct sim_mirror *m = &n->mirror;

	read_refused(w, n, r);
	m->known |= r->parts;
	m->reading &= (uint16_t)~r->parts;
	if (r->parts & PART_SELF)
		m->seen.self = r->seen.self;
	if (r->parts & PART_EPOCH)
		shell_epoch(w, n, r->seen.epoch, r->seen.epoch_owner, r->seen.epoch_version);
	if (r->parts & PART_KEY) {
		m->seen.key = r->seen.key;
		m->seen.key_version = r->seen.key_version;
		m->seen.key_mzxid = r->seen.key_mzxid;
	}
	if (r->parts & PART_POST) {
		m->seen.holder = r->seen.holder;
		m->seen.post_session = r->seen.post_session;
	}
	if (r->parts & PART_ALIVE) {
		m->seen.alive = r->seen.alive;
		m->alive_of = r->holder;
	}
	if (r->parts & PART_DRAIN)
		m->seen.drained = r->seen.drained;
	if (r->parts & PART_MAINT)
		m->seen.maintenance = r->seen.maintenance;
	if ((m->known & PART_KEY) && m->seen.key >= 0 && m->seen.key != (int8_t)n->id &&
	    !((m->known & PART_ALIVE) && m->alive_of == m->seen.key)) {
		m->known &= (uint16_t)~PART_ALIVE;
		shell_read(w, n, PART_ALIVE);
	}
	shell_tell_view(w, n);
}
