/* SPDX-License-Identifier: Apache-2.0 */
#include "term.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/timer.h"
#include "election/lease.h"
#include "fault.h"
#include "own_key.h"

/* The operations of a renewal, in their order. */
enum { RENEWAL_POST, RENEWAL_EPOCH, RENEWAL_KEEPALIVE };

int term_init(struct term *term, const char *name, const char *machine, const char *boot)
{
	*term = (struct term){ .name = name, .boot = boot };
	snprintf(term->machine, sizeof(term->machine), "%s", machine);
	while (!term->nonce)
		if (getrandom(&term->nonce, sizeof(term->nonce), 0) < 0 && errno != EINTR)
			return -errno;
	for (int i = 0; i < TERM_RENEWALS_MAX; i++)
		term->renewals[i].term = term;
	return 0;
}

static void cancel(struct term *term)
{
	zkh_op_cancel(term->read_op);
	term->read_op = NULL;
	for (int i = 0; i < TERM_RENEWALS_MAX; i++) {
		zkh_op_cancel(term->renewals[i].op);
		zkh_op_cancel(term->renewals[i].post_op);
		term->renewals[i].op = term->renewals[i].post_op = NULL;
	}
	term->known = term->wanted = term->proven = false;
}

void term_finish(struct term *term)
{
	cancel(term);
	zkh_mirror_close(&term->mirror);
}

static void forget_renewals(struct term *term)
{
	cancel(term);
	for (int i = 0; i < TERM_RENEWALS_MAX; i++)
		term->renewals[i].counter = term->renewals[i].sent_us = 0;
}

static void keepalive_path(const struct term *term, char *ret_path)
{
	node_key_path(term->name, NODE_KEY_KEEPALIVE, ret_path);
}

/* The next value of the keepalive, noted as sent. */
static struct term_renewal *next_renewal(struct term *term, int64_t now_us, char *ret_text)
{
	struct keepalive value = { .nonce = term->nonce,
				   .lease_us = lease_owing_promise_us(term->session_us,
								      term->debt_us, now_us),
				   .counter = ++term->counter };
	struct term_renewal *renewal = &term->renewals[term->counter % TERM_RENEWALS_MAX];

	snprintf(value.machine, sizeof(value.machine), "%s", term->machine);
	snprintf(value.boot, sizeof(value.boot), "%s", term->boot);
	keepalive_format(&value, ret_text);
	renewal->counter = term->counter;
	renewal->sent_us = now_us;
	renewal->committed = false;
	return renewal;
}

void term_open(struct term *term, struct zkh_txn *txn, int64_t session_us, bool owes,
	       int32_t epoch_version, int64_t now_us)
{
	char path[KEY_PATH_SIZE], text[KEEPALIVE_SIZE];

	forget_renewals(term);
	memset(term->before, 0, sizeof(term->before));
	term->claimed = true;
	term->ours = false;
	term->session_us = session_us;
	term->debt_us = owes ? now_us + lease_unknown_promise_us(session_us) : 0;
	term->epoch_version = epoch_version;
	keepalive_path(term, path);
	(void)next_renewal(term, now_us, text);
	zkh_txn_set_text(txn, path, text, ZKH_ANY_VERSION);
}

void term_opened(struct term *term, int32_t epoch_version, int32_t version)
{
	term->epoch_version = epoch_version;
	term->version = version;
	term->known = term->ours = true;
	term->makes = 0;
}

void term_owes(struct term *term, int64_t until_us)
{
	term->debt_us = until_us;
}

void term_started(struct term *term, int64_t now_us)
{
	term->debt_us = 0;
	term_renew(term, now_us);
}

void term_close(struct term *term)
{
	forget_renewals(term);
	zkh_mirror_close(&term->mirror);
	term->session_us = 0;
}

void term_nonces(const struct term *term, uint64_t ret_nonces[TERM_NONCES])
{
	int n = 0;

	if (term->claimed)
		ret_nonces[n++] = term->nonce;
	for (int i = 0; n < TERM_NONCES; i++)
		ret_nonces[n++] = term->before[i];
}

/* Its place among the nonces of before; -1: none of them. */
static int find_before(const struct term *term, uint64_t nonce)
{
	for (int i = 0; i < TERM_NONCES; i++)
		if (term->before[i] && term->before[i] == nonce)
			return i;
	return -1;
}

void term_resume(struct term *term, const uint64_t before[TERM_NONCES], int32_t epoch_version,
		 int64_t session_us)
{
	forget_renewals(term);
	memcpy(term->before, before, sizeof(term->before));
	term->claimed = false;
	term->ours = true;
	term->session_us = session_us;
	term->debt_us = 0;
	term->epoch_version = epoch_version;
}

static void on_mirror(void *userdata, int result, const char *data, size_t length,
		      const struct zkh_stat *stat);

void term_attached(struct term *term, struct zkh_session *session, bool fresh)
{
	cancel(term);
	term->session = session;
	/* The term ended with the session before, and this may be another ensemble. */
	if (fresh) {
		zkh_mirror_close(&term->mirror);
		return;
	}
	/* Not behind a sync, which may take as long as a commit. One that is open has read it already. */
	if (term->session_us && !zkh_mirror_is_open(&term->mirror)) {
		char path[KEY_PATH_SIZE];

		keepalive_path(term, path);
		(void)zkh_mirror_open(&term->mirror, session, path, 0, on_mirror, term);
	}
}

/* -- reading it back -- */

static void send_renewal(struct term *term, int64_t now_us);

static void on_post(void *userdata, int result, const struct zkh_stat *stat)
{
	struct term_renewal *renewal = userdata;
	struct term *term = renewal->term;

	renewal->post_op = NULL;
	if (!renewal->committed || zkh_is_unanswered(result))
		return;
	if (result == ZKH_OK && stat->ephemeral_owner == zkh_session_id(term->session))
		term->on_renewed(term->userdata, RESULT_OK, renewal->sent_us);
	else if (result == ZKH_OK || result == ZKH_NO_NODE)
		term->on_renewed(term->userdata, RESULT_CONFLICT, 0);
	else
		term->on_refused(term->userdata, result, PATH_POST);
}

static void look_at_post(struct term_renewal *renewal)
{
	if (!renewal->post_op)
		(void)zkh_exists(renewal->term->session, PATH_POST, false, on_post, renewal,
				 &renewal->post_op);
}

/* What the keepalive says decides whose term it is, and how far it is known to be committed. */
static void take(struct term *term, const struct keepalive *value, int32_t version, bool decisive)
{
	struct term_renewal *renewal = &term->renewals[value->counter % TERM_RENEWALS_MAX];
	bool sent = value->nonce == term->nonce && renewal->sent_us &&
		    renewal->counter == value->counter;
	int place = find_before(term, value->nonce);
	bool own = value->nonce == term->nonce || place >= 0;

	if (!own) {
		/* Else it may be from before a takeover that has not committed yet. */
		if (term->ours || decisive)
			term->on_superseded(term->userdata);
		return;
	}
	term->ours = true;
	term->version = version;
	term->known = true;
	term->makes = 0;
	/* That is the one which is committed; the others' renewals may still be on their way. */
	if (place > 0) {
		memmove(term->before + 1, term->before, (size_t)place * sizeof(term->before[0]));
		term->before[0] = value->nonce;
	}
	if (!sent)
		return;
	memset(term->before, 0, sizeof(term->before));
	renewal->committed = true;
	look_at_post(renewal);
}

static void take_read(struct term *term, int result, const char *data, size_t length,
		      const struct zkh_stat *stat, bool decisive)
{
	struct keepalive value;
	char path[KEY_PATH_SIZE];

	if (result == ZKH_OK && value_keepalive(data, length, &value)) {
		take(term, &value, stat->version, decisive);
	} else if (result == ZKH_OK) {
		/* Somebody wrote junk over it: what stood there before, nobody knows. */
		term->on_renewed(term->userdata, RESULT_CONFLICT, 0);
	} else if (result == ZKH_NO_NODE) {
		term->known = true;
		term->makes = term->made % OWN_KEY_MAKES_MAX + 1;
	} else if (!zkh_is_unanswered(result)) {
		keepalive_path(term, path);
		term->on_refused(term->userdata, result, path);
	}
	if (term->known && term->wanted)
		send_renewal(term, time_boot_us());
}

static void on_read(void *userdata, int result, const char *data, size_t length,
		    const struct zkh_stat *stat)
{
	struct term *term = userdata;

	term->read_op = NULL;
	take_read(term, result, data, length, stat, term->decisive);
}

static void look(struct term *term)
{
	bool is_being_read = zkh_mirror_is_open(&term->mirror) &&
			     !zkh_mirror_is_current(&term->mirror);
	char path[KEY_PATH_SIZE];

	term->known = false;
	if (term->read_op || is_being_read)
		return;
	term->decisive = term->wanted;
	keepalive_path(term, path);
	(void)zkh_get(term->session, path, false, on_read, term, &term->read_op);
}

static void on_mirror(void *userdata, int result, const char *data, size_t length,
		      const struct zkh_stat *stat)
{
	struct term *term = userdata;

	if (result == ZKH_UNKNOWN) {
		term->known = false;
		return;
	}
	/* Later renewals are known by their answers. */
	if (term->proven)
		zkh_mirror_close(&term->mirror);
	take_read(term, result, data, length, stat, false);
}

/* -- renewing it -- */

/* Those behind it fail as well: their answers say nothing more, and come before that of the look. */
static void failed(struct term *term, int result, const struct zkh_txn_reply *reply)
{
	bool refused = result != ZKH_CONFLICT && result != ZKH_NO_NODE && result != ZKH_NODE_EXISTS;

	if (zkh_is_unanswered(result)) {
		term->known = false;
		return;
	}
	if (refused && !term->read_op)
		term->on_refused(term->userdata, result, reply ? reply->failed_path : "");
	if (!refused && reply->failed < RENEWAL_KEEPALIVE) {
		term->on_renewed(term->userdata, RESULT_CONFLICT, 0);
		return;
	}
	/* What is missing is made at once, one step after the other; then at the next renewal again. */
	if (!refused && (result != ZKH_NO_NODE || term->made < OWN_KEY_MAKES_MAX))
		term->wanted = true;
	look(term);
}

static void on_renewal(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct term_renewal *renewal = userdata;
	struct term *term = renewal->term;

	fault_point("renew", "after");
	renewal->op = NULL;
	if (result != ZKH_OK) {
		failed(term, result, reply);
		return;
	}
	term->made = 0;
	term->ours = term->proven = true;
	if (zkh_mirror_is_current(&term->mirror))
		zkh_mirror_close(&term->mirror);
	memset(term->before, 0, sizeof(term->before));
	renewal->committed = true;
}

static void send_renewal(struct term *term, int64_t now_us)
{
	char text[KEEPALIVE_SIZE];
	struct term_renewal *renewal = &term->renewals[(term->counter + 1) % TERM_RENEWALS_MAX];
	struct zkh_txn *txn;

	/* So many without an answer: there will be none on this connection. */
	if (renewal->op || renewal->post_op)
		return;
	txn = zkh_txn_create(term->session);
	if (!txn)
		return;
	term->wanted = false;
	renewal = next_renewal(term, now_us, text);
	zkh_txn_check(txn, PATH_POST, ZKH_ANY_VERSION);
	zkh_txn_check(txn, PATH_EPOCH, term->epoch_version);
	own_key_write(txn, term->name, NODE_KEY_KEEPALIVE, text, term->version, term->makes);
	term->version = term->makes ? 0 : term->version + 1;
	term->made = term->makes;
	term->makes = 0;
	if (!term->claimed) {
		term->claimed = true;
		term->on_claim(term->userdata);
	}
	if (zkh_commit(txn, on_renewal, renewal, &renewal->op) != 0)
		term->known = false;
	else
		look_at_post(renewal);
}

void term_renew(struct term *term, int64_t now_us)
{
	assert(term->session_us);
	fault_point("renew", "before");
	if (term->known) {
		send_renewal(term, now_us);
		return;
	}
	term->wanted = true;
	look(term);
}
