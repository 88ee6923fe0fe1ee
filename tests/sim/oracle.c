/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/*
 * The judge. It looks at the truth of the world: which work runs, what is committed, when a renewal
 * that did commit was sent.
 */

/* In a stop without a guard the lease file is left as it is: nobody reads it but the next daemon, and that stops as well. */
static int64_t lease_end(const struct sim_node *n)
{
	int64_t known = n->node ? keeper_of(n)->lease_end_us : 0;

	return known > n->page.end_local ? known : n->page.end_local;
}

/*
 * The work is to be down at the end of the lease; a pause of the host may have spent half of the
 * margin.
 */
static void check_late(struct sim *w, const struct sim_node *n)
{
	int64_t late = clock_local(w, n) - lease_end(n);

	if (lease_end(n) && late > lease_margin_us(w->params.least_us) * 6 / 10 + 5 * MS &&
	    !w->options->frozen_hosts)
		sim_fail(w, "the work of node %d went down %lld ms after the end of its lease",
			 n->id, (long long)(late / MS));
}

/* -- the status page -- */

static bool shows_primary(const struct sim *w, const struct sim_node *n)
{
	return clock_local(w, n) < n->shown_until;
}

/* By the daemon or by the guard: from this moment nobody may be told that the node is primary. */
void oracle_stop(struct sim *w, const struct sim_node *n)
{
	if (shows_primary(w, n))
		sim_fail(
			w,
			"the stop of the work of node %d begins, its page says primary for %lld ms",
			n->id, (long long)((n->shown_until - clock_local(w, n)) / MS));
}

void oracle_show(struct sim *w, struct sim_node *n)
{
	if (shows_primary(w, n) &&
	    (page_mark(n) != LEASE_WATCHED || n->work.truth == TRUTH_STOPPING))
		sim_fail(w, "the page of node %d says primary, and its work is stopped", n->id);
}

static void check_ghosts(struct sim *w, const struct sim_node *n)
{
	for (int i = 0; i < w->node_count; i++)
		if (w->nodes[i].ghost_until > w->now && !w->options->frozen_hosts)
			sim_fail(
				w,
				"two primaries: work runs on node %d and on the machine that was node %d",
				n->id, i);
}

void oracle_ghost(struct sim *w, struct sim_node *n, int64_t until)
{
	if (until > n->ghost_until)
		n->ghost_until = until;
	for (int i = 0; i < w->node_count; i++)
		if (w->nodes[i].work.truth != TRUTH_DOWN)
			check_ghosts(w, &w->nodes[i]);
}

void oracle_term(struct sim *w, const struct sim_txn *txn)
{
	struct sim_node *n = &w->nodes[txn->node];
	int64_t proof = txn->sent_local + lease_length_us(txn->session_us);

	if (w->tree.post == txn->node && w->tree.post_session == txn->session &&
	    txn->machine == n->machine && proof > n->lease_proof)
		n->lease_proof = proof;
}

void oracle_running(struct sim *w, struct sim_node *n, bool running)
{
	if (!running)
		check_late(w, n);
	w->running += running ? 1 : -1;
	if (running)
		check_ghosts(w, n);
	for (int i = 0; i < w->node_count && running; i++)
		if (i != n->id && shows_primary(w, &w->nodes[i]) && !w->options->frozen_hosts)
			sim_fail(w, "work starts on node %d, the page of node %d says primary",
				 n->id, i);
	if (w->running <= 1)
		return;
	for (int i = 0; i < w->node_count; i++)
		if (i != n->id && w->nodes[i].work.truth != TRUTH_DOWN)
			sim_fail(w, "two primaries: work runs on node %d and on node %d", i, n->id);
}

static bool is_blind(const struct sim *w, const struct sim_node *n)
{
	return process_is_refused(n) || (w->now < n->blind_until && n->blind & 1u << SIM_KEY_EPOCH);
}

/*
 * If the store was set back, the epoch is higher than those of before only if the node remembers them, or another one that
 * does, and may read /epoch, has registered in time: that has raised it. A deleted /epoch tells no more than a store that was
 * set back.
 */
static void track_epochs(struct sim *w, const struct sim_txn *txn)
{
	bool remembers = txn->node >= 0 &&
			 process_memory_epoch(&w->nodes[txn->node]) >= w->last_epoch;

	if (txn->type == TXN_REGISTER && remembers && !is_blind(w, &w->nodes[txn->node]))
		w->epochs_lost = 0;
	else if (w->restored_at && (txn->type == TXN_DELETE_EPOCH || txn->type == TXN_DELETE_ROOT))
		w->epochs_lost = 1;
	else if (txn->type == TXN_ENTER && w->epochs_lost && !remembers)
		w->last_epoch = 0;
}

/* The fencing token: what the work of a later primary is given is larger. */
static void check_epoch(struct sim *w, const struct sim_node *n)
{
	int64_t epoch = n->core.epoch;

	if (epoch < w->last_epoch || (epoch == w->last_epoch && w->last_epoch_node != n->id))
		sim_fail(w, "node %d starts its work with epoch %lld after node %d had epoch %lld",
			 n->id, (long long)epoch, w->last_epoch_node, (long long)w->last_epoch);
	w->last_epoch = epoch;
	w->last_epoch_node = n->id;
	/* Unless it was taken over before that. */
	if (w->post_since > w->restored_at)
		w->epochs_lost = 0;
}

/* Terms of before are over, whoever held them. (A host that went down took its work along.) */
static void check_terms(struct sim *w, const struct sim_node *n)
{
	for (int i = 0; i < w->node_count; i++) {
		const struct sim_node *other = &w->nodes[i];

		if (i != n->id && other->term_session && lease_end(other) > clock_local(w, other))
			sim_fail(w,
				 "node %d starts its work %lld ms before the lease of node %d ends",
				 n->id,
				 (long long)((lease_end(other) - clock_local(w, other)) / MS), i);
	}
}

/* (It may have lost its post a moment ago: whoever gets it waits for this term.) */
static void check_post(struct sim *w, const struct sim_node *n)
{
	check_epoch(w, n);
	check_terms(w, n);
	if (w->post_lost_at && w->now < w->post_lost_at + w->params.session_us)
		return;
	if (w->tree.post_epoch != n->core.epoch)
		sim_fail(w, "node %d starts its work with epoch %lld, its post says %lld", n->id,
			 (long long)n->core.epoch, (long long)w->tree.post_epoch);
	if (w->tree.post != (int8_t)n->id || w->tree.post_session != n->client.session)
		sim_fail(w, "node %d starts its work without the post", n->id);
}

/* Nodes that died acting: what they left behind says so. */
static uint16_t corpses(const struct sim *w)
{
	uint16_t bits = 0;

	for (int i = 0; i < w->node_count; i++) {
		char router = w->tree.router[i];

		if (!w->tree.alive[i] && !(w->tree.refused[i] & REFUSE_LOOK) &&
		    (router == 't' || router == 'p' || router == 'r'))
			bits |= (uint16_t)(1u << i);
	}
	return bits;
}

void oracle_start_failed(struct sim *w, struct sim_node *n)
{
	if (n->core.phase == PHASE_STOP && n->core.reason == REASON_WORK_FAILED)
		n->penalty_end = clock_local(w, n) + n->config.penalty_us;
}

/*
 * It stands in for a daemon that cannot: one that runs, undisturbed, has begun to stop the work
 * before.
 */
void oracle_guard(struct sim *w, const struct sim_node *n)
{
	bool disturbed = n->disturbed > w->now - w->params.session_us;

	if (n->daemon == DAEMON_UP && !disturbed && n->work.truth != TRUTH_STOPPING &&
	    n->core.work != WORK_STOPPING && n->up_since < w->now - w->params.session_us)
		sim_fail(w, "the guard of node %d has to stop the work of a daemon that runs",
			 n->id);
}

/* They are never two: a stop takes back what a start that goes on would bring about, and the other way round. */
void oracle_command(struct sim *w, const struct sim_node *n, const char *what)
{
	if (n->work.takeover.runs || n->work.stop.runs || n->guard.stop.runs)
		sim_fail(w, "node %d: the %s command begins while the %s runs", n->id, what,
			 n->work.takeover.runs ? "takeover command"
			 : n->work.stop.runs   ? "daemon's relinquish command"
					       : "guard's relinquish command");
}

#define CLAIMS_MAX 4

void oracle_do(struct sim *w, struct sim_node *n, uint8_t op)
{
	if (op == OP_ENTER)
		n->enter_claim = n->core.view.key_mzxid;
	if (op == OP_ENTER && n->enter_claim == n->refused_claim)
		sim_fail(w, "node %d tries a takeover again that was refused", n->id);
	if (op == OP_ENTER && n->core.epoch <= cluster_of(n)->view.floor_epoch)
		sim_fail(w,
			 "node %d enters with epoch %lld, and has registered by transaction %lld",
			 n->id, (long long)n->core.epoch,
			 (long long)cluster_of(n)->view.floor_epoch);
	if (op != OP_CLAIM)
		return;
	/* Of one vacancy, as fast as the servers refuse it. */
	if (n->core.view.key_mzxid != n->claimed ||
	    w->now > n->claimed_at + n->config.lock_timeout_us)
		n->claims = 0;
	n->claimed = n->core.view.key_mzxid;
	n->claimed_at = w->now;
	if (++n->claims > CLAIMS_MAX)
		sim_fail(w, "node %d claims again and again", n->id);
	if (clock_local(w, n) < n->penalty_end)
		sim_fail(w, "node %d claims although its takeover failed a moment ago", n->id);
	/* What it was told: a part that is read meanwhile waits for the others. */
	if (n->core.view.maintenance || n->core.view.drained)
		sim_fail(w, "node %d claims although it knows of %s", n->id,
			 n->core.view.drained ? "its drain" : "the maintenance");
	if (n->core.view.absent)
		sim_fail(w, "node %d claims although the others must take it for dead", n->id);
}

/*
 * Whoever comes next finds this node: by its router state, or, should an earlier process of it have overwritten that (the
 * root was deleted, and versions began anew), by /epoch. (The store that was told may have been set back a moment ago.)
 */
static void check_found(struct sim *w, const struct sim_node *n)
{
	bool told = w->tree.router[n->id] != 's' || w->tree.epoch_owner == n->id;

	if (w->tree.there[n->id] && !told &&
	    !(w->restored_at && w->now < w->restored_at + w->params.session_us))
		sim_fail(w, "node %d starts its work, and nothing in the store tells", n->id);
}

void oracle_start(struct sim *w, struct sim_node *n)
{
	w->corpses &= (uint16_t) ~(1u << n->id);
	/* (Another node may have taken the post meanwhile, and found more.) */
	if (w->corpses_of == n->id && w->corpses & corpses(w))
		sim_fail(w, "node %d starts its work, the dead (bits %#x) are left as they are",
			 n->id, (unsigned)(w->corpses & corpses(w)));
	check_post(w, n);
	check_found(w, n);
	if (n->lease_proof - lease_length_us(n->core.term_us) < n->waits_over)
		sim_fail(w, "node %d starts its work on what it sent before its wait was over",
			 n->id);
	if (clock_local(w, n) >= n->lease_proof)
		sim_fail(w, "node %d starts its work without a lease", n->id);
	n->term_session = w->tree.post == n->id ? w->tree.post_session : -1;
	if (page_mark(n) != LEASE_WATCHED || n->page.end_local <= clock_local(w, n))
		sim_fail(w, "node %d starts its work without a guard", n->id);
}

/* -- the head start of nodes that are preferred -- */

/* A server that lags, or is cut off, tells of a change only after this time. */
#define OLD_NEWS_US (OLD_SERVER_US + 3 * SEC)

#define FIT 7 /* alive, not drained, secondary */

static void note_fit(struct sim *w)
{
	for (int i = 0; i < w->node_count; i++) {
		int fit = (w->tree.alive[i] ? 1 : 0) | (w->tree.drained[i] ? 0 : 2) |
			  (w->tree.router[i] == 's' ? 4 : 0);

		if (!w->nodes[i].config.coordinator)
			fit = 0;
		if (fit != w->fit[i])
			w->fit_changed[i] = w->now;
		w->fit[i] = (uint8_t)fit;
	}
}

/* Only those who can claim are waited for, and all of them. */
void oracle_peers(struct sim *w, const struct sim_node *n, int32_t count)
{
	uint16_t may = 0, must = 0;

	if (n->disturbed > w->now - OLD_NEWS_US)
		return;
	for (int i = 0; i < w->node_count; i++) {
		bool long_ago = w->fit_changed[i] < w->now - OLD_NEWS_US;
		bool fits = w->fit[i] == FIT;

		if (i == n->id || w->nodes[i].rank <= n->rank)
			continue;
		may |= (uint16_t)(fits || !long_ago ? 1u << i : 0);
		must |= (uint16_t)(fits && long_ago && !w->tree.refused[i] ? 1u << i : 0);
	}
	if (count ? !may : must)
		sim_fail(w, "node %d lets %d nodes go first, preferred are %#x", n->id, count,
			 (unsigned)(count ? may : must));
}

/* Neither down nor killed at the end of its lease; what takes a while, or is held up, is no fault. */
static void check_order(struct sim *w, struct sim_node *n)
{
	if (work_in_order(n->node->work, n->core.now_us))
		n->unruly_since = 0;
	else if (!n->unruly_since || n->disturbed > n->unruly_since ||
		 n->up_since > n->unruly_since)
		n->unruly_since = w->now;
	else if (w->now - n->unruly_since > w->params.session_us)
		sim_fail(w,
			 "the work of node %d is neither down nor killed at the end of its lease",
			 n->id);
}

/* After every step of a core. */
void oracle_step(struct sim *w, struct sim_node *n, uint8_t phase_before)
{
	const struct election *e = &n->core;
	bool blind = sim_mutated(w, MUTATION_RENEW_BY_READ);

	if (e->work != WORK_DOWN && e->lease_end_us > n->lease_proof && !blind)
		sim_fail(w, "node %d believes in a lease until %lld, only %lld is proven", n->id,
			 (long long)e->lease_end_us, (long long)n->lease_proof);
	if (e->phase == PHASE_AWAIT && phase_before != PHASE_AWAIT && phase_before != PHASE_ENTER)
		n->await_at = w->now;
	if (e->phase == PHASE_CONTEND && e->peers == PEERS_NONE && e->view.key != KEY_UNKNOWN)
		sim_fail(w, "node %d waits although no other is preferred", n->id);
	if (e->phase == PHASE_PRIMARY)
		n->penalty_end = 0;
	if (e->phase == PHASE_PRIMARY &&
	    (phase_before == PHASE_BEGIN || phase_before == PHASE_RESUME) &&
	    (n->work.truth == TRUTH_STARTING || n->work.truth == TRUTH_STOPPING))
		sim_fail(w, "node %d takes half-started work for up", n->id);
	if (e->work == WORK_DOWN && n->work.truth != TRUTH_DOWN)
		sim_fail(w, "node %d takes its work for down", n->id);
	if (n->guard.gone_at && guard_missing(n) && n->disturbed < n->guard.gone_at &&
	    w->now > n->guard.gone_at + 6 * SEC + n->config.handover_timeout_us +
			     w->params.relinquish_timeout_us + w->params.session_us)
		sim_fail(w, "the work of node %d runs without a guard for %.1f s", n->id,
			 (double)(w->now - n->guard.gone_at) / 1e6);
	check_order(w, n);
	if (!election_in_order(&n->config, e, e->now_us) && n->disturbed < w->now - 50 * MS)
		w->stats.out_of_order++;
}

/*
 * Who enters did so after the transition delay: nobody who began to wait for others before the claim, and
 * was not held up since, still waits for the lock. (Those who were held up are stopped by the
 * version check.)
 */
static void check_contenders(struct sim *w, int node)
{
	for (int i = 0; i < w->node_count; i++) {
		const struct sim_node *n = &w->nodes[i];

		if (i == node || n->daemon != DAEMON_UP || !process_waits_for_lock(n) ||
		    !n->lock_placed)
			continue;
		if (n->lock_placed < w->claim_at && n->disturbed < n->lock_placed &&
		    w->nodes[node].await_at >= w->claim_at)
			sim_fail(w,
				 "node %d enters, node %d waits for the lock from before the claim",
				 node, i);
	}
}

static void check_post_gone(struct sim *w, int node, const struct sim_txn *txn)
{
	const struct sim_node *n = &w->nodes[node];

	if (txn->type == TXN_LEAVE && n->work.truth != TRUTH_DOWN)
		sim_fail(w, "the post of node %d is released while its work runs", node);
	if (txn->type != TXN_LEAVE)
		w->post_lost_at = w->now;
	/*
	 * (A router state that somebody deleted is made again in its time: it is the owner of the epoch. A post that came back
	 * with an old store says nothing of the present term.)
	 */
	if (txn->type == TXN_CLOSE && txn->session == n->term_session && w->tree.router[node] &&
	    !(w->tree.router[node] == 't' || w->tree.router[node] == 'p' ||
	      w->tree.router[node] == 'r'))
		sim_fail(w, "node %d died acting and left router state '%c'", node,
			 w->tree.router[node] ? w->tree.router[node] : '-');
}

/* It may go by what was before. */
static bool is_untold(const struct sim *w, const struct sim_node *n)
{
	return n->untold && w->now < n->untold + LOOK_ROUND * n->client.timeout + OLD_NEWS_US;
}

/*
 * A claim takes the place of nobody who was alive when he was named and has been ever since. (A key
 * that an operator deletes begins anew with version 0: what was remembered before may fit again. It
 * costs an election, no more.)
 */
static void check_claim(struct sim *w, const struct sim_txn *txn, struct sim_before before)
{
	if (w->key_created_at && w->now < w->key_created_at + 3 * w->params.session_us)
		return;
	if (before.key >= 0 && before.key < w->node_count && before.key != txn->node &&
	    w->tree.alive[before.key] && w->tree.alive_zxid[before.key] < before.key_mzxid)
		sim_fail(w, "node %d claims although node %d is named and alive", txn->node,
			 before.key);
	/*
	 * Nor of one that acts, whatever became of its sign of life. (The claimer can know: it began
	 * to contend well after the takeover, and what it was not told of it has read since.)
	 */
	if (before.key >= 0 && before.post == before.key && before.key != txn->node &&
	    w->alive_deleted[before.key] > w->post_since &&
	    w->nodes[txn->node].lock_began > w->post_since + OLD_SERVER_US + 3 * SEC &&
	    w->nodes[txn->node].disturbed < w->post_since && !is_untold(w, &w->nodes[txn->node]) &&
	    w->key_changed_at < w->alive_deleted[before.key])
		sim_fail(w, "node %d claims although node %d is named and acts", txn->node,
			 before.key);
}

/*
 * The key may have been deleted and made again with the same version: that is seen before the work
 * starts. (What a process before had sent starts nothing.)
 */
static void check_enter(struct sim *w, const struct sim_txn *txn)
{
	if (txn->session != w->nodes[txn->node].client.session)
		return;
	if (w->tree.key != txn->node && w->tree.key_czxid <= w->nodes[txn->node].core.claim_mzxid)
		sim_fail(w, "node %d enters although the key says %d", txn->node, w->tree.key);
}

/* Of two processes on one session only one goes on. */
static void check_twins(struct sim *w, const struct sim_txn *txn)
{
	struct sim_twin *twin = &w->nodes[txn->node].twin;

	if (!twin->nonce || w->now < twin->since + w->params.session_us)
		return;
	if (txn->nonce != twin->nonce)
		twin->rivals |= twin->went_on;
	else if (twin->rivals)
		sim_fail(w, "two processes go on with the term of node %d", txn->node);
	else
		twin->went_on = 1;
}

/*
 * To an ensemble that it does not know a node writes nothing; its own lock nodes it may remove. (One that knows none is kept
 * out as long as it may not read which this is.)
 */
void oracle_send(struct sim *w, const struct sim_request *r)
{
	const struct ensemble *ensemble = &cluster_of(&w->nodes[r->node])->ensemble;

	if (r->type == REQUEST_TXN && ensemble->state == ENSEMBLE_CLOSED && *ensemble->known.id &&
	    r->purpose != FOR_FAREWELL && r->txn.type != TXN_UNLOCK)
		sim_fail(w, "node %d writes (%d) to an ensemble that it does not know", r->node,
			 r->txn.type);
}

/* The known one, set back: a node that has seen more of it neither registers there nor takes part in the election. */
static void check_ensemble(struct sim *w, const struct sim_txn *txn)
{
	bool takes_part = txn->type == TXN_REGISTER || txn->type == TXN_CLAIM ||
			  txn->type == TXN_ENTER;
	const struct identity *known;
	struct identity_seen seen;

	if (!takes_part || !w->restored_at)
		return;
	known = process_known(&w->nodes[txn->node]);
	files_see_cluster(&w->tree, &seen);
	if (seen.key == IDENTITY_READ && !strcmp(seen.id, known->id) &&
	    seen.generation == known->generation && seen.zxid < known->zxid)
		sim_fail(w, "node %d takes an ensemble that was set back for the known one",
			 txn->node);
}

/* Nothing that was read before says anything of the keys as they are now. */
void oracle_restored(struct sim *w)
{
	w->restored_at = w->key_changed_at = w->key_created_at = w->post_lost_at = w->now;
	w->named = w->tree.key;
	w->claim_at = w->now;
	w->corpses = 0;
	w->epochs_lost = 1;
	note_fit(w);
	memset(w->alive_deleted, 0, sizeof(w->alive_deleted));
	/* Transactions get the numbers of before anew. */
	for (int i = 0; i < w->node_count; i++)
		w->nodes[i].refused_claim = w->nodes[i].enter_claim = 0;
}

void oracle_commit(struct sim *w, const struct sim_txn *txn, enum txn_result result,
		   struct sim_before before)
{
	int8_t named = w->tree.key;

	/* One that may not be marked is left as it is. */
	if (txn->type == TXN_MARK && result == TXN_REFUSED)
		w->corpses &= (uint16_t) ~(1u << txn->node);
	if (result != TXN_OK)
		return;
	note_fit(w);
	track_epochs(w, txn);
	check_ensemble(w, txn);
	if (txn->type == TXN_RENEW)
		check_twins(w, txn);
	/* May not be looked at, or might not a moment ago. */
	if (txn->type == TXN_REFUSE) {
		w->corpses &= (uint16_t) ~(1u << txn->node);
		w->fit_changed[txn->node] = w->now;
	}
	if (txn->type == TXN_ENTER)
		w->post_since = w->now;
	if (txn->type == TXN_DELETE_ALIVE || txn->type == TXN_DELETE_NODE)
		w->alive_deleted[txn->node] = w->now;
	if (before.post >= 0 && w->tree.post != before.post)
		check_post_gone(w, before.post, txn);
	if (w->tree.key_mzxid != before.key_mzxid && txn->type != TXN_CLAIM)
		w->key_changed_at = w->now;
	/* Naming the same node once more does not make its delay begin anew. */
	if (named != w->named) {
		w->claim_at = w->now;
		w->named = named;
	}
	if (txn->type == TXN_CREATE_KEY)
		w->key_created_at = w->now;
	if (txn->type == TXN_CLAIM) {
		w->stats.elections++;
		check_claim(w, txn, before);
	}
	if (txn->type == TXN_ENTER) {
		w->stats.takeovers++;
		w->nodes[txn->node].term_session = 0;
		w->corpses = corpses(w);
		w->corpses_of = txn->node;
		check_contenders(w, txn->node);
		check_enter(w, txn);
	}
}

static bool eligible(const struct sim *w, const struct sim_node *n)
{
	return n->config.coordinator && !w->tree.drained[n->id] &&
	       !(w->tree.refused[n->id] & ~(REFUSE_MARK | REFUSE_LOOK | REFUSE_WATCH));
}

/* One that may not write its router state any more says for ever that it acts, and is waited for as long as it lives. */
static bool silenced(const struct sim *w)
{
	for (int i = 0; i < w->node_count; i++)
		if (w->tree.refused[i] && w->tree.alive[i] &&
		    (w->tree.router[i] == 't' || w->tree.router[i] == 'p' ||
		     w->tree.router[i] == 'r') &&
		    w->tree.post != i)
			return true;
	return false;
}

/* Of who may not claim, each attempt is seen by all others. */
static bool somebody_is_refused(const struct sim *w)
{
	for (int i = 0; i < w->node_count; i++)
		if (w->tree.refused[i])
			return true;
	return false;
}

static void check_resting(struct sim *w, const struct sim_node *n)
{
	uint8_t phase = n->core.phase;

	if (w->tree.refused[n->id])
		return;
	if (phase != PHASE_FOLLOW && phase != PHASE_PRIMARY)
		sim_fail(w, "not live: node %d is still in phase %s %.1f s after the last fault",
			 n->id, election_phase_text(phase), (double)w->liveness_bound / 1e6);
	else if (phase == PHASE_FOLLOW && !somebody_is_refused(w) &&
		 n->steps - w->calm_steps[n->id] > 8)
		sim_fail(w, "not live: idle node %d took %lld steps in its last %.1f s", n->id,
			 (long long)(n->steps - w->calm_steps[n->id]),
			 (double)w->params.session_us / 1e6);
	/* A client does not look whether somebody deleted it. */
	if (!w->tree.alive[n->id] && n->config.coordinator)
		sim_fail(w, "not live: node %d is not registered", n->id);
}

/* One that may not claim, and is the only one that is not drained, tries for ever. */
static bool contends(const struct sim *w, const struct sim_node *n)
{
	int64_t removal_us = w->params.session_us / 4;

	return n->core.lock != LOCK_FREE ||
	       (w->tree.refused[n->id] && w->now - n->lock_began < removal_us);
}

/* But for those of a contention that goes on, or has just ended, in this moment. */
static int locks_left_over(const struct sim *w)
{
	int count = w->tree.lock_count;

	for (int i = 0; i < w->node_count; i++)
		count -= contends(w, &w->nodes[i]);
	return count > 0 ? count : 0;
}

/* All is well: a keepalive that is deleted now is made again, and costs nobody the post. */
void oracle_calm(struct sim *w)
{
	struct sim_txn txn = { .type = TXN_DELETE_KEEPALIVE, .node = w->tree.post };

	for (int i = 0; i < w->node_count; i++)
		w->calm_steps[i] = w->nodes[i].steps;
	if (!w->params.weight[FAULT_DELETE_KEEPALIVE] || somebody_is_refused(w) || txn.node < 0 ||
	    w->nodes[txn.node].core.phase != PHASE_PRIMARY)
		return;
	w->calm_epoch = w->tree.post_epoch;
	commit_txn(w, &txn, -1, w->leader);
}

void oracle_liveness(struct sim *w)
{
	int primaries = 0, candidates = 0;

	if (silenced(w))
		return;
	if (w->calm_epoch && (w->tree.post < 0 || w->tree.post_epoch != w->calm_epoch))
		sim_fail(w, "a deleted keepalive cost its node the post");
	for (int i = 0; i < w->node_count; i++) {
		const struct sim_node *n = &w->nodes[i];

		candidates += eligible(w, n);
		check_resting(w, n);
		if (n->core.phase != PHASE_PRIMARY)
			continue;
		primaries++;
		if (n->work.truth != TRUTH_UP || w->tree.post != i || w->tree.key != i ||
		    (w->tree.router[i] != 'p' && !w->tree.refused[i]))
			sim_fail(w,
				 "not live: primary %d, work %d, post %d, key %d, router state %c",
				 i, n->work.truth, w->tree.post, w->tree.key, w->tree.router[i]);
	}
	/* One that may not write the key cannot give it back, nor can one at work that may not stay be replaced. */
	for (int i = 0; i < w->node_count; i++)
		if (w->tree.refused[i] && (w->tree.key == i || (!candidates && primaries)))
			return;
	if (primaries != (candidates ? 1 : 0))
		sim_fail(w, "not live: %d primaries, %d candidates, key %d, post %d after %.1f s",
			 primaries, candidates, w->tree.key, w->tree.post,
			 (double)w->liveness_bound / 1e6);
	if (locks_left_over(w))
		sim_fail(w, "not live: %d lock nodes are left over, one of session %d",
			 locks_left_over(w), w->tree.locks[0].session);
}
