/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Normalising, hashing and packing. Two worlds are the same when no core and no rule can tell them apart: times count from
 * now, and those that are over only as over; versions and zxids count by their order; nodes may be swapped.
 */

#include "check_world.h"

#include <assert.h>
#include <string.h>

#include "election/lease.h"

/* The members of struct election that are times. A new member changes the size: does it belong here? */
static_assert(sizeof(struct election) == 208, "a new member: is it a time, a version, a zxid?");
#define CORE_TIMES(X)                                                                              \
	X(now_us)                                                                                  \
	X(phase_since_us)                                                                          \
	X(deadline_us)                                                                             \
	X(lease_end_us)                                                                            \
	X(renew_next_us)                                                                           \
	X(progress_us)                                                                             \
	X(proof_us)                                                                                \
	X(op_sent_us)                                                                              \
	X(penalty_until_us)                                                                        \
	X(retry_us)                                                                                \
	X(waits_over_us)                                                                           \
	X(depart_by_us)
#define NODE_TIMES(X)                                                                              \
	X(op_us) X(renew_us) X(keep_us) X(lease_us) X(start_us) X(stop_us) X(killed_us)

#define CORE_BYTES (sizeof(struct election) - offsetof(struct election, phase))
#define NODE_BYTES (sizeof(struct check_node) - offsetof(struct check_node, process))
#define WORLD_BYTES (sizeof(struct check_world) - offsetof(struct check_world, key))

/* Further back than this nobody looks. */
#define PAST_MAX_US (CHECK_UNIT_US * 100)
#define RANKS_MAX 24
#define VERSION_NOW 100

/* -- small numbers -- */

struct ranks {
	int64_t value[RANKS_MAX];
	unsigned count;
};

static void rank_add(struct ranks *ranks, int64_t value)
{
	unsigned at = 0;

	while (at < ranks->count && ranks->value[at] < value)
		at++;
	if (value <= 0 || (at < ranks->count && ranks->value[at] == value))
		return;
	assert(ranks->count < RANKS_MAX);
	memmove(&ranks->value[at + 1], &ranks->value[at], (ranks->count - at) * sizeof(value));
	ranks->value[at] = value;
	ranks->count++;
}

static int64_t rank_of(const struct ranks *ranks, int64_t value)
{
	for (unsigned at = 0; at < ranks->count; at++)
		if (ranks->value[at] == value)
			return at + 1;
	return value;
}

static void normalise_zxids(struct check_world *w)
{
	struct ranks ranks = { .count = 0 };

	rank_add(&ranks, w->key_mzxid);
	rank_add(&ranks, w->last_epoch);
	for (unsigned i = 0; i < w->nodes; i++) {
		rank_add(&ranks, w->core[i].view.key_mzxid);
		rank_add(&ranks, w->core[i].epoch);
		rank_add(&ranks, w->core[i].failed_mzxid);
		rank_add(&ranks, w->core[i].claim_mzxid);
		rank_add(&ranks, w->core[i].view.epoch);
		rank_add(&ranks, w->node[i].epoch);
	}
	w->zxid = ranks.count;
	w->key_mzxid = rank_of(&ranks, w->key_mzxid);
	w->last_epoch = rank_of(&ranks, w->last_epoch);
	for (unsigned i = 0; i < w->nodes; i++) {
		struct election *core = &w->core[i];

		core->view.key_mzxid = rank_of(&ranks, core->view.key_mzxid);
		core->epoch = rank_of(&ranks, core->epoch);
		core->failed_mzxid = rank_of(&ranks, core->failed_mzxid);
		core->claim_mzxid = rank_of(&ranks, core->claim_mzxid);
		core->view.epoch = rank_of(&ranks, core->view.epoch);
		w->node[i].epoch = rank_of(&ranks, w->node[i].epoch);
	}
}

/* The key's version keeps its place: what counts up from it must not meet a remembered one. */
static int32_t version_of(const struct ranks *ranks, int32_t now, int32_t version)
{
	int32_t rank = (int32_t)rank_of(ranks, version), rank_now = (int32_t)rank_of(ranks, now);

	if (version <= 0)
		return version;
	return rank <= rank_now ? VERSION_NOW + 2 * (rank - rank_now)
				: 2 * VERSION_NOW + rank - rank_now;
}

static void normalise_versions(struct check_world *w)
{
	struct ranks ranks = { .count = 0 };
	int32_t now = w->key_version;

	rank_add(&ranks, now);
	for (unsigned i = 0; i < w->nodes; i++) {
		rank_add(&ranks, w->core[i].view.key_version);
		rank_add(&ranks, w->core[i].seen_version);
		rank_add(&ranks, w->node[i].version);
	}
	w->key_version = version_of(&ranks, now, now);
	for (unsigned i = 0; i < w->nodes; i++) {
		struct election *core = &w->core[i];

		core->view.key_version = version_of(&ranks, now, core->view.key_version);
		core->seen_version = version_of(&ranks, now, core->seen_version);
		w->node[i].version = version_of(&ranks, now, w->node[i].version);
	}
}

static void shift(int64_t *time_us, int64_t by_us)
{
	if (!*time_us)
		return;
	*time_us -= by_us;
	if (*time_us < CHECK_NOW_US - PAST_MAX_US)
		*time_us = CHECK_NOW_US - PAST_MAX_US;
}

void check_normalise(struct check_world *w)
{
	int64_t by_us = w->now_us / CHECK_UNIT_US * CHECK_UNIT_US - CHECK_NOW_US;

	normalise_zxids(w);
	normalise_versions(w);
	w->now_us -= by_us;
	shift(&w->claimed_us, by_us);
	for (unsigned i = 0; i < w->nodes; i++) {
		struct election *core = &w->core[i];
		struct check_node *n = &w->node[i];

#define X(member) shift(&core->member, by_us);
		CORE_TIMES(X)
#undef X
#define X(member) shift(&n->member, by_us);
		NODE_TIMES(X)
#undef X
		if (n->stage == STAGE_NONE) {
			n->op = n->result = n->deletes = 0;
			n->op_us = n->epoch = n->version = 0;
		}
	}
}

/* -- hash -- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

static uint64_t mix_bytes(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint64_t word;

	for (; size >= 8; size -= 8, bytes += 8) {
		memcpy(&word, bytes, 8);
		hash = mix(hash, word);
	}
	word = 0;
	memcpy(&word, bytes, size);
	return mix(hash, word);
}

static void forget_past(int64_t *time_us, int64_t now_us)
{
	if (*time_us && *time_us < now_us)
		*time_us = now_us;
}

/* Takes away what no core looks at in this state. */
static void blur(struct election *core, const struct check_world *w)
{
	bool contest = core->phase == PHASE_CONTEND || core->phase == PHASE_LOCK ||
		       core->phase == PHASE_CLAIM;
	int64_t next_us = election_next_us(&check_config, core);

	core->now_us = next_us && next_us <= w->now_us; /* a timer still to fire */
	if (core->phase != PHASE_LOCK)
		core->phase_since_us = 0;
	forget_past(&core->deadline_us, w->now_us);
	forget_past(&core->renew_next_us, w->now_us);
	forget_past(&core->depart_by_us, w->now_us);
	if (core->penalty_until_us <= w->now_us)
		core->penalty_until_us = 0;
	if (core->retry_us <= w->now_us)
		core->retry_us = 0;
	if (core->work != WORK_STOPPING)
		core->stop_reason = 0;
	if (!election_acting(core) && core->phase != PHASE_ENTER)
		core->renew_next_us = core->epoch = core->claim_mzxid = core->term_us =
			core->proof_us = 0;
	if (!contest)
		core->seen_version = 0;
	if (core->view.key == KEY_UNKNOWN)
		core->view.key_version = 0;
	core->reason = 0;
	if (!core->lease_end_us || !core->attached)
		core->progress_us = 0;
	if (core->phase != PHASE_RECOVER ||
	    core->lease_end_us - lease_length_us(core->term_us) >= core->waits_over_us)
		core->waits_over_us = 0;
}

static uint64_t hash_node(const struct check_world *w, unsigned i)
{
	struct election core = w->core[i];
	struct check_node n = w->node[i];
	uint64_t hash = (uint64_t)(w->key == i) + 2 * (uint64_t)(w->post == i);

	if (n.keep_us + CHECK_PROMISE_US <= w->now_us)
		n.keep_us = 0;
	if (n.process == PROCESS_OFF)
		memset(&core, 0, sizeof(core));
	else
		blur(&core, w);
	return mix_bytes(mix_bytes(hash, &core, sizeof(core)), &n,
			 offsetof(struct check_node, runs) + 1);
}

uint64_t check_hash(const struct check_world *w)
{
	uint64_t sums[CHECK_NODES_MAX], hash = (uint64_t)w->now_us;
	bool waiting = false;

	for (unsigned i = 0; i < w->nodes; i++) {
		unsigned at = i;
		uint64_t sum = hash_node(w, i);

		waiting |= w->core[i].phase == PHASE_LOCK;
		while (at && sums[at - 1] > sum) {
			sums[at] = sums[at - 1];
			at--;
		}
		sums[at] = sum;
	}
	for (unsigned i = 0; i < w->nodes; i++)
		hash = mix(hash, sums[i]);
	hash = mix(hash, waiting ? (uint64_t)w->claimed_us : 0);
	hash = mix(hash, (uint64_t)w->key_mzxid << 32 | (uint64_t)w->last_epoch);
	hash = mix(hash, (uint64_t)(uint32_t)w->key_version << 32 | w->maintenance |
				 (uint64_t)w->faults << 8 | (uint64_t)w->orders << 16 |
				 (uint64_t)w->lapsed << 24);
	return mix(hash, (uint64_t)(w->key < CHECK_NODES_MAX ? 0 : w->key) |
				 (uint64_t)(w->post == CHECK_NOBODY) << 8);
}

/* -- packing -- */

/* Reads or writes the members one after the other, as small numbers. */
struct stream {
	uint8_t *bytes;
	size_t at;
	bool reading;
};

static void stream_byte(struct stream *s, uint8_t *value)
{
	if (s->reading)
		*value = s->bytes[s->at];
	else
		s->bytes[s->at] = *value;
	s->at++;
}

static void stream_bytes(struct stream *s, void *data, size_t size)
{
	for (size_t k = 0; k < size; k++)
		stream_byte(s, (uint8_t *)data + k);
}

static void stream_time(struct stream *s, int64_t *time_us)
{
	int64_t quanta = *time_us ? (*time_us - CHECK_NOW_US) / CHECK_QUANTUM_US + 0x4000 : 0;
	uint8_t low = (uint8_t)quanta, high = (uint8_t)(quanta >> 8);

	assert(s->reading || !*time_us || *time_us % CHECK_QUANTUM_US == 0);
	stream_byte(s, &low);
	stream_byte(s, &high);
	quanta = low | high << 8;
	*time_us = quanta ? (quanta - 0x4000) * CHECK_QUANTUM_US + CHECK_NOW_US : 0;
}

static void stream_small(struct stream *s, int64_t *value)
{
	uint8_t byte = (uint8_t)(*value + 1); /* -1 is a value too */

	stream_byte(s, &byte);
	*value = (int64_t)byte - 1;
}

static void stream_int(struct stream *s, int32_t *value)
{
	int64_t wide = *value;

	stream_small(s, &wide);
	*value = (int32_t)wide;
}

static void stream_core(struct stream *s, struct election *core)
{
	uint8_t attached_once = core->session_us != 0, term = core->term_us != 0;

#define X(member) stream_time(s, &core->member);
	CORE_TIMES(X)
#undef X
	stream_byte(s, &attached_once);
	core->session_us = attached_once ? CHECK_SESSION_US : 0;
	stream_byte(s, &term);
	core->term_us = term ? CHECK_SESSION_US : 0;
	stream_small(s, &core->epoch);
	stream_small(s, &core->claim_mzxid);
	stream_small(s, &core->view.epoch);
	stream_small(s, &core->failed_mzxid);
	stream_small(s, &core->view.key_mzxid);
	stream_int(s, &core->view.key_version);
	stream_bytes(s, &core->view.key, 6);
	stream_int(s, &core->seen_version);
	stream_int(s, &core->corpses);
	stream_bytes(s, &core->phase, CORE_BYTES);
}

static void stream_world(struct stream *s, struct check_world *w)
{
	stream_bytes(s, &w->nodes, 1);
	stream_time(s, &w->now_us);
	stream_time(s, &w->claimed_us);
	stream_small(s, &w->key_mzxid);
	stream_small(s, &w->zxid);
	stream_small(s, &w->last_epoch);
	stream_int(s, &w->key_version);
	stream_bytes(s, &w->key, WORLD_BYTES);
	for (unsigned i = 0; i < w->nodes; i++) {
		struct check_node *n = &w->node[i];

		stream_core(s, &w->core[i]);
#define X(member) stream_time(s, &n->member);
		NODE_TIMES(X)
#undef X
		stream_small(s, &n->epoch);
		stream_int(s, &n->version);
		stream_bytes(s, &n->process, NODE_BYTES);
	}
}

size_t check_pack(const struct check_world *world, uint8_t ret_packed[CHECK_PACKED_MAX])
{
	uint8_t bytes[CHECK_PACKED_MAX] = { 0 };
	struct stream s = { .bytes = bytes };
	struct check_world copy = *world;
	size_t groups, at;

	stream_world(&s, &copy);
	assert(s.at < sizeof(bytes) - sizeof(bytes) / 8 - 8);
	groups = (s.at + 7) / 8;
	ret_packed[0] = (uint8_t)groups;
	at = 1 + groups;
	for (size_t g = 0; g < groups; g++) {
		uint8_t mask = 0;

		for (unsigned bit = 0; bit < 8; bit++) {
			uint8_t byte = bytes[8 * g + bit];

			mask |= (uint8_t)((byte != 0) << bit);
			if (byte)
				ret_packed[at++] = byte;
		}
		ret_packed[1 + g] = mask;
	}
	return at;
}

size_t check_unpack(const uint8_t *packed, struct check_world *ret_world)
{
	uint8_t bytes[CHECK_PACKED_MAX] = { 0 };
	struct stream s = { .bytes = bytes, .reading = true };
	size_t groups = packed[0], at = 1 + groups;

	for (size_t g = 0; g < groups; g++)
		for (unsigned bit = 0; bit < 8; bit++)
			if (packed[1 + g] & 1u << bit)
				bytes[8 * g + bit] = packed[at++];
	memset(ret_world, 0, sizeof(*ret_world));
	stream_world(&s, ret_world);
	return at;
}
