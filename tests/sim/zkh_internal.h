/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by zkh.c and zkh_txn.c. */

#include "sim.h"

#define REPLY_STATS 6 /* as many operations as the longest has */

struct zkh_session {
	int node;
};

extern struct sim *zkh_world;

enum sim_key zkh_key_of(const char *path, int8_t *ret_of);

/* An operation begins. If there is no connection it is answered from the loop, and not to be sent. */
struct zkh_op *zkh_op_create(struct sim_node *n, const struct zkh_op *call, struct zkh_op **ret_op);
bool zkh_is_sent(struct sim_node *n, const struct zkh_op *op);
void zkh_send(struct zkh_op *op, struct sim_request *r);

/* Sends a request that has nothing but its type. */
int zkh_send_plain(struct zkh_session *session, uint8_t type, uint8_t txn_type,
		   const struct zkh_op *call, struct zkh_op **ret_op);

void zkh_txn_begin(void);
/* What it was putting together. */
void zkh_txn_drop(const struct sim_node *n);

/* The name of a lock node into ret_text[KEY_PATH_SIZE]. */
void zkh_lock_text(int32_t uid, int32_t sequence, char *ret_text);

/* What the committed transaction has written, in the order of its operations. */
void zkh_fill_stats(const struct sim_request *r, struct zkh_stat stats[REPLY_STATS],
		    const char *created[REPLY_STATS]);
/* The path of the operation that failed. */
const char *zkh_failed_path(const struct sim_request *r);
/* As enum zkh_result; and which operation failed. */
int zkh_commit_result(const struct sim_request *r, size_t *ret_failed);
