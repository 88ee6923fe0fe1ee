/* SPDX-License-Identifier: Apache-2.0 */
#include "ensemble.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/keys.h"

/* Between two looks at another server, or two attempts at a key that is refused: doubled from one to the other. */
#define LOOK_MIN_S 0.25
#define LOOK_MAX_S 5.0

static void ask(struct ensemble *e);

static void tell(struct ensemble *e, enum ensemble_news news, const char *text)
{
	e->options.on_news(e->options.userdata, news, text);
}

/* -- the memory -- */

static void on_kept(void *userdata, int error)
{
	struct ensemble *e = userdata;
	char text[PATH_MAX + 200];

	if (error == e->said_error)
		return;
	e->said_error = error;
	if (error == 0)
		return;
	(void)snprintf(
		text, sizeof(text),
		"%s cannot be written: %s; until this is fixed, a restart forgets which ensemble is "
		"the known one: see node.state-directory",
		e->writer.path, strerror(-error));
	tell(e, ENSEMBLE_NOT_KEPT, text);
}

static void keep(struct ensemble *e)
{
	e->kept = e->known;
	identity_writer_save(&e->writer, &e->known);
}

static void load(struct ensemble *e)
{
	char text[PATH_MAX + 200];
	int r = identity_file_load(e->writer.path, &e->known);
	const char *what = strerror(r < 0 ? -r : 0);

	if (r == 0 || r == -ENOENT)
		return;
	if (r == -EBADMSG)
		what = "it holds junk";
	else if (r == -EXDEV)
		what = "it is of another root or node";
	(void)snprintf(text, sizeof(text),
		       "%s cannot be used: %s; any ensemble that answers is accepted",
		       e->writer.path, what);
	tell(e, ENSEMBLE_NOT_KEPT, text);
}

/* -- looking again -- */

static void look_later(struct ensemble *e)
{
	if (ev_is_active(&e->look))
		return;
	ev_timer_set(&e->look, e->pause_s, 0.);
	ev_timer_start(e->options.loop, &e->look);
	e->pause_s = 2 * e->pause_s < LOOK_MAX_S ? 2 * e->pause_s : LOOK_MAX_S;
}

/* The next server, in a new session. */
static void leave(struct ensemble *e)
{
	e->leaving = true;
	zkh_session_renew(e->session);
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct ensemble *e = timer->data;

	if (!zkh_session_connected(e->session))
		return; /* the next attachment asks */
	if (e->state == ENSEMBLE_OPEN) {
		ask(e);
		return;
	}
	leave(e);
}

/* -- verdicts -- */

static void open_gate(struct ensemble *e)
{
	bool was_open = e->state == ENSEMBLE_OPEN;
	char text[IDENTITY_TEXT_SIZE] = "";

	ev_timer_stop(e->options.loop, &e->look);
	e->pause_s = LOOK_MIN_S;
	if (strcmp(e->known.id, e->kept.id) != 0 || e->known.generation != e->kept.generation ||
	    e->reason != IDENTITY_FINE)
		(void)snprintf(text, sizeof(text),
			       "the ensemble at %.100s is cluster %s, generation %lld",
			       e->options.servers, e->known.id, (long long)e->known.generation);
	if (identity_differs(&e->known, &e->kept))
		keep(e);
	e->state = ENSEMBLE_OPEN;
	e->reason = IDENTITY_FINE;
	e->trouble[0] = '\0';
	if (!was_open || *text)
		tell(e, ENSEMBLE_IS_KNOWN, text);
}

static void close_gate(struct ensemble *e, enum identity_reason reason)
{
	bool was_open = e->state == ENSEMBLE_OPEN, was_closed = e->state == ENSEMBLE_CLOSED;
	/* Its zxid grows with each look at it: that is no news. */
	bool is_news = reason != e->reason || strcmp(e->seen.id, e->told.id) != 0 ||
		       e->seen.generation != e->told.generation;

	e->state = ENSEMBLE_CLOSED;
	e->reason = reason;
	e->told = e->seen;
	look_later(e);
	identity_explain(reason, &e->known, &e->seen, e->options.servers, e->trouble);
	/* With the zxid, so that primaryctl sees what this node saw. */
	if (*e->known.id && (e->known.zxid != e->kept.zxid || e->known.change != e->kept.change))
		keep(e);
	if (is_news || !was_closed)
		tell(e, ENSEMBLE_IS_FOREIGN, is_news ? e->trouble : "");
	/* Whatever is under way in this session ends with it, and sends nothing more. */
	if (was_open)
		leave(e);
}

/* -- making the key -- */

static void say_refused(struct ensemble *e, int result)
{
	char text[160];

	(void)snprintf(text, sizeof(text), PATH_CLUSTER " may not be read or made: %s%s",
		       zkh_result_text(result),
		       result == ZKH_DENIED ? "; are all nodes given the same credential "
					      "(zookeeper.auth-file)?"
					    : "");
	tell(e, ENSEMBLE_WAS_REFUSED, text);
}

static void make_refused(struct ensemble *e, int result)
{
	if (e->state != ENSEMBLE_OPEN) {
		close_gate(e, IDENTITY_NO_ACCESS);
		return;
	}
	look_later(e);
	say_refused(e, result);
}

/* Whatever became of it: the key itself tells. */
static void on_made(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct ensemble *e = userdata;

	e->make_op = NULL;
	if (zkh_is_unanswered(result))
		return; /* the next attachment asks */
	if (result == ZKH_OK)
		tell(e, ENSEMBLE_WAS_MADE, *e->known.id ? e->known.id : e->made);
	if (result == ZKH_OK || result == ZKH_NODE_EXISTS || result == ZKH_NO_NODE ||
	    result == ZKH_CONFLICT)
		ask(e);
	else
		make_refused(e, result);
}

static void on_root_made(void *userdata, int result)
{
	struct ensemble *e = userdata;
	struct zkh_txn *txn;
	char text[IDENTITY_VALUE_SIZE];

	e->make_op = NULL;
	if (result != ZKH_OK) {
		if (!zkh_is_unanswered(result))
			make_refused(e, result);
		return;
	}
	txn = zkh_txn_create(e->session);
	if (!txn) {
		look_later(e);
		return;
	}
	if (*e->known.id)
		identity_format_value(e->known.id, e->known.generation, e->known.format, text);
	else
		identity_format_value(e->made, 1, identity_format_known(), text);
	if (e->version >= 0)
		zkh_txn_set_text(txn, PATH_CLUSTER, text, e->version);
	else
		zkh_txn_create_text(txn, PATH_CLUSTER, text, ZKH_PERSISTENT);
	if (zkh_commit(txn, on_made, e, &e->make_op) != 0)
		look_later(e);
}

static void draw_id(char ret_id[IDENTITY_ID_SIZE])
{
	unsigned char bytes[(IDENTITY_ID_SIZE - 1) / 2];
	/* So few are there at once or not at all, and they are always there once the system is up. */
	ssize_t n = getrandom(bytes, sizeof(bytes), 0);

	assert(n == (ssize_t)sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(ret_id + 2 * i, 3, "%02x", bytes[i]);
}

static void make(struct ensemble *e)
{
	if (e->make_op)
		return;
	if (!*e->known.id && !*e->made)
		draw_id(e->made);
	if (zkh_make_root(e->session, on_root_made, e, &e->make_op) != 0)
		look_later(e);
}

/* -- asking -- */

static void judge(struct ensemble *e)
{
	enum identity_reason reason;

	switch (identity_judge(&e->known, &e->seen, e->state == ENSEMBLE_OPEN, &reason)) {
	case IDENTITY_KNOWN:
	case IDENTITY_ADOPT:
		if (e->seen.key == IDENTITY_REFUSED) {
			say_refused(e, e->result);
			break;
		}
		identity_take(&e->known, &e->seen);
		open_gate(e);
		break;
	case IDENTITY_MAKE:
		make(e);
		break;
	case IDENTITY_FOREIGN:
		close_gate(e, reason);
		break;
	}
}

/* What the mirror of the key told last is judged; while it reads, its answer leads here. */
static void on_primary(void *userdata, int result, const struct zkh_stat *stat)
{
	struct ensemble *e = userdata;

	e->primary_op = NULL;
	if (zkh_is_unanswered(result))
		return;
	e->seen.change = stat ? stat->mzxid : 0;
	e->seen.zxid = zkh_session_zxid(e->session);
	if (zkh_mirror_is_current(&e->mirror))
		judge(e);
	/* A key that is refused, or was missing, takes another round trip: until then a registration would be sent. */
	else if (e->state == ENSEMBLE_OPEN && identity_is_older(&e->known, &e->seen))
		close_gate(e, IDENTITY_OLD_ZXID);
}

static void ask(struct ensemble *e)
{
	zkh_op_cancel(e->primary_op);
	e->primary_op = NULL;
	if (zkh_exists(e->session, PATH_PRIMARY, false, on_primary, e, &e->primary_op) != 0)
		look_later(e);
}

static void on_key(void *userdata, int result, const char *data, size_t length,
		   const struct zkh_stat *stat)
{
	struct ensemble *e = userdata;

	if (result == ZKH_UNKNOWN)
		return;
	memset(&e->seen, 0, sizeof(e->seen));
	e->result = result;
	e->version = result == ZKH_OK ? stat->version : -1;
	if (result == ZKH_OK)
		e->czxid = stat->czxid;
	if (result == ZKH_OK)
		identity_parse_value(data, length, &e->seen);
	else
		e->seen.key = result == ZKH_NO_NODE ? IDENTITY_MISSING : IDENTITY_REFUSED;
	if (!e->primary_op)
		ask(e);
}

/* -- life -- */

void ensemble_start(struct ensemble *ensemble, const struct ensemble_options *options,
		    struct zkh_session *session)
{
	struct ensemble *e = ensemble;
	char path[PATH_MAX] = "";

	*e = (struct ensemble){ .options = *options,
				.session = session,
				.state = options->resumed ? ENSEMBLE_OPEN : ENSEMBLE_UNKNOWN,
				.pause_s = LOOK_MIN_S };
	(void)snprintf(e->known.root, sizeof(e->known.root), "%s", options->root);
	(void)snprintf(e->known.name, sizeof(e->known.name), "%s", options->name);
	ev_init(&e->look, on_look);
	e->look.data = e;
	if (options->directory &&
	    identity_file_path(options->directory, options->runtime_directory, path) < 0)
		path[0] = '\0';
	identity_writer_init(&e->writer, options->loop, path, on_kept, e);
	if (*path)
		load(e);
	e->kept = e->known;
}

static void cancel(struct ensemble *e)
{
	zkh_op_cancel(e->primary_op);
	zkh_op_cancel(e->make_op);
	e->primary_op = e->make_op = NULL;
}

void ensemble_finish(struct ensemble *ensemble)
{
	if (!ensemble->session)
		return;
	cancel(ensemble);
	zkh_mirror_close(&ensemble->mirror);
	ev_timer_stop(ensemble->options.loop, &ensemble->look);
	identity_writer_finish(&ensemble->writer);
	ensemble->session = NULL;
}

bool ensemble_attached(struct ensemble *ensemble, bool fresh)
{
	ensemble->leaving = false;
	if (fresh)
		ensemble->state = ENSEMBLE_UNKNOWN;
	if (!zkh_mirror_is_open(&ensemble->mirror) &&
	    zkh_mirror_open(&ensemble->mirror, ensemble->session, PATH_CLUSTER, ZKH_MIRROR_SYNCED,
			    on_key, ensemble) != 0)
		zkh_session_cut(
			ensemble->session); /* out of memory: the next attachment tries again */
	ask(ensemble);			    /* answered right behind the mirror's read */
	return ensemble->state == ENSEMBLE_OPEN;
}

void ensemble_detached(struct ensemble *ensemble, bool expired)
{
	cancel(ensemble);
	ev_timer_stop(ensemble->options.loop, &ensemble->look);
	if (ensemble->state == ENSEMBLE_OPEN)
		identity_note_zxid(&ensemble->known, zkh_session_zxid(ensemble->session));
	/* Nothing is held by a session in a foreign one, and the known one would take its zxid for one of the future. */
	if (!expired && ensemble->state == ENSEMBLE_CLOSED)
		leave(ensemble);
	if (expired)
		ensemble->state = ENSEMBLE_UNKNOWN;
}

bool ensemble_is_open(const struct ensemble *ensemble)
{
	return ensemble->state == ENSEMBLE_OPEN;
}

bool ensemble_is_looking(const struct ensemble *ensemble)
{
	return ensemble->leaving;
}

const char *ensemble_trouble(const struct ensemble *ensemble)
{
	return ensemble->trouble;
}

void ensemble_note_epoch(struct ensemble *ensemble, int64_t epoch)
{
	if (!identity_note_epoch(&ensemble->known, epoch) || !*ensemble->known.id)
		return;
	/* Kept along with the zxid of that moment; an answer that is awaited comes sooner than that of another question. */
	if (ensemble->state != ENSEMBLE_OPEN || !zkh_session_connected(ensemble->session))
		keep(ensemble);
	else if (!ensemble->primary_op)
		ask(ensemble);
}

void ensemble_note_made(struct ensemble *ensemble, int64_t czxid)
{
	if (identity_note_made(&ensemble->known, czxid) && *ensemble->known.id)
		keep(ensemble);
}

void ensemble_note_own(struct ensemble *ensemble, int64_t epoch)
{
	if (identity_note_own(&ensemble->known, epoch) && *ensemble->known.id)
		keep(ensemble);
}

int64_t ensemble_own(const struct ensemble *ensemble)
{
	return ensemble->known.own;
}

int64_t ensemble_made(const struct ensemble *ensemble)
{
	return ensemble->known.made;
}

int64_t ensemble_epoch(const struct ensemble *ensemble)
{
	return ensemble->known.epoch;
}
