/* SPDX-License-Identifier: Apache-2.0 */
#include "kept.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "guard/guard.h"

/* Between two attempts to keep what could not be, of a node that does nothing else meanwhile. */
#define RETRY_S 5.0

static enum state_work work_of(const struct election *e)
{
	if (e->work == WORK_DOWN)
		return STATE_WORK_DOWN;
	return e->work == WORK_UP && e->phase != PHASE_BEGIN ? STATE_WORK_UP : STATE_WORK_PARTLY;
}

/* Between them the post may be this node's though no work is known of. */
static bool may_hold_post(uint8_t phase)
{
	return phase == PHASE_ENTER || phase == PHASE_RECOVER;
}

static void describe(const struct kept *kept, struct state *ret)
{
	const struct election *e = kept->election;
	struct cluster_left left;

	cluster_left(kept->cluster, &left);
	memset(ret, 0, sizeof(*ret));
	strcpy(ret->node, kept->config->node.name);
	strcpy(ret->boot_id, kept->boot_id);
	ret->place = kept->place;
	ret->cluster = state_cluster_of(kept->config);
	ret->work_id = state_work_id(kept->config->takeover.unit);
	ret->session = left.session.id ? left.session : kept->saved.session;
	/* That of the term, while there is one: its lease is made of it. */
	ret->session_us = e->term_us ? e->term_us : e->session_us;
	if (!ret->session_us)
		ret->session_us = kept->saved.session_us;
	ret->work = work_of(e);
	/* A contest or a release cannot be resumed: how far it has come is not worth a write. */
	if (ret->work != STATE_WORK_DOWN || may_hold_post(e->phase))
		ret->epoch = e->epoch;
	static_assert(TERM_NONCES == STATE_NONCES, "all of them are kept");
	memcpy(ret->nonces, left.nonces, sizeof(ret->nonces));
	ret->epoch_version = left.epoch_version;
	ret->generation = kept->lease ? lease_file_generation(kept->lease) : 0;
}

static bool files_are_there(const struct kept *kept)
{
	const char *directory = kept->config->node.runtime_directory;

	return state_is_there(directory) &&
	       (!kept->lease || lease_file_is_there(kept->lease, directory));
}

static void say(const struct kept *kept)
{
	const struct log_fields f = { .target = kept->config->node.runtime_directory };

	if (kept->error == 0)
		log_event(kept->log, EVENT_STATE_FILE_WRITTEN, &f,
			  "the state for a restart is kept in %s again", f.target);
	else
		log_event(
			kept->log, EVENT_STATE_FILE_FAILED, &f,
			"cannot keep the state for a restart in %s: %s; until this is fixed, this node "
			"does not take over the role, and a restart stops its work first; make room there, "
			"or, if files were deleted there, move the role and restart the daemon",
			f.target, strerror(-kept->error));
}

/* A node whose work runs goes on; any other node cannot take over, and reports that it is not healthy. */
static void judge(struct kept *kept, bool news)
{
	bool unfit = kept->error && kept->election->work == WORK_DOWN;

	if (unfit == kept->unfit && !news)
		return;
	kept->unfit = unfit;
	kept->on_change(kept->userdata);
}

static void note_error(struct kept *kept, int error)
{
	bool news = error != kept->error;

	kept->error = error;
	if (news)
		say(kept);
	judge(kept, news);
	if (error == 0)
		ev_timer_stop(kept->loop, &kept->retry);
	else if (!ev_is_active(&kept->retry))
		ev_timer_again(kept->loop, &kept->retry);
}

static int save(struct kept *kept)
{
	const char *directory = kept->config->node.runtime_directory;
	struct state now;
	int r = -ENOENT;

	describe(kept, &now);
	/* The next process finds no lease file that is not in its place: what belongs to it need not be there, either. */
	if (!kept->lease || lease_file_is_there(kept->lease, directory))
		r = state_save(directory, &now);
	if (r == 0)
		kept->saved = now;
	note_error(kept, r);
	return r;
}

static bool is_kept_elsewhere(const struct kept *kept)
{
	enum election_phase phase = kept->election->phase;

	/* Before the start nothing is known about the work. ENTER is saved by kept_enter(), before it is sent. */
	return !kept->wanted || phase == PHASE_INIT || phase == PHASE_LEAVE || phase == PHASE_ENTER;
}

/*
 * Half-stopped work is nothing to resume: should the state not be saved, the one that says that the work is up is void all
 * the same.
 */
static void void_before_stop(struct kept *kept)
{
	if (kept->lease && kept->election->phase == PHASE_STOP && kept->saved.work == STATE_WORK_UP)
		(void)lease_file_raise(kept->lease, kept->config->node.runtime_directory,
				       kept->saved.generation);
}

void kept_step(struct kept *kept)
{
	struct state now;

	void_before_stop(kept);
	judge(kept, false);
	if (is_kept_elsewhere(kept))
		return;
	describe(kept, &now);
	if (kept->error || memcmp(&now, &kept->saved, sizeof(now)) != 0 || !files_are_there(kept))
		(void)save(kept);
}

void kept_try(struct kept *kept)
{
	if (!is_kept_elsewhere(kept))
		(void)save(kept);
}

int kept_enter(struct kept *kept)
{
	int r = 0;

	if (!kept->wanted)
		return 0;
	if (kept->lease)
		r = lease_file_raise(kept->lease, kept->config->node.runtime_directory,
				     kept->saved.generation);
	if (r < 0)
		note_error(kept, r);
	return r < 0 ? r : save(kept);
}

const char *kept_trouble(const struct kept *kept)
{
	return kept->unfit ? strerror(-kept->error) : "";
}

bool kept_is_fine(const struct kept *kept)
{
	return !kept->error;
}

void kept_forget(const struct kept *kept)
{
	if (kept->wanted)
		(void)state_remove(kept->config->node.runtime_directory);
}

/* -- life -- */

const struct state *kept_take(struct kept *kept, const struct state *left)
{
	const struct log_fields f = { .target = kept->config->node.runtime_directory };

	if (!left)
		return NULL;
	kept->saved = *left;
	if (!kept->lease || left->generation == lease_file_generation(kept->lease))
		return left;
	log_event(kept->log, EVENT_RESUME_REFUSED, &f,
		  "starting cold: %s/" STATE_FILE " is older than %s/" LEASE_FILE
		  ", or belongs to another one",
		  f.target, f.target);
	kept->saved.session = (struct zkh_client_id){ 0 };
	return NULL;
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct kept *kept = timer->data;

	kept_step(kept);
}

void kept_init(struct kept *kept)
{
	ev_timer_init(&kept->retry, on_retry, 0., RETRY_S);
	kept->retry.data = kept;
}

void kept_finish(struct kept *kept)
{
	if (kept->retry.data)
		ev_timer_stop(kept->loop, &kept->retry);
	explicit_bzero(&kept->saved, sizeof(kept->saved));
}
