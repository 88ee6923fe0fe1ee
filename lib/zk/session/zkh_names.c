/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The servers' addresses: when names are looked up, and the list that libzookeeper gets.
 *
 * The library walks through a new list one by one, and later skips one after each failure: only an
 * odd number of entries leads it through all of them. So one is repeated when the number is even.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zkh_internal.h"

/* How long one look-up may take, and the pauses between them. */
#define RESOLVE_TIMEOUT_MS 5000
#define RESOLVE_PAUSE_MS 1000
#define RESOLVE_AGAIN_MS 5000

/* As old as this, an answer still says where the names lead now. */
#define RESOLVE_FRESH_MS 1000

size_t zkh_names_entries(const struct zkh_session *session)
{
	return session->addresses.count | 1;
}

char *zkh_names_list(struct zkh_session *session)
{
	struct zkh_addresses *addresses = &session->addresses;
	size_t size = 1, entries = zkh_names_entries(session);
	char *list, *end;

	for (size_t i = addresses->count; i > 1; i--) {
		size_t other = zkh_session_random(session, (uint32_t)i);
		char *text = addresses->text[i - 1];

		addresses->text[i - 1] = addresses->text[other];
		addresses->text[other] = text;
	}
	for (size_t i = 0; i < entries; i++)
		size += strlen(addresses->text[i % addresses->count]) + 1;
	end = list = malloc(size);
	if (list == NULL)
		return NULL;
	for (size_t i = 0; i < entries; i++)
		end += sprintf(end, "%s%s", i > 0 ? "," : "",
			       addresses->text[i % addresses->count]);
	return list;
}

static void names_on_resolved(void *userdata, struct zkh_addresses *addresses, const char *problem)
{
	struct zkh_session *session = userdata;
	int64_t now_ms = zkh_now_ms();

	zkh_session_enter(session);
	session->resolved_ms = now_ms;
	session->resolve_at_ms = now_ms + zkh_session_pause_ms(session, RESOLVE_PAUSE_MS);
	/* A name that cannot be looked up now has the addresses that it had, as far as anybody knows. */
	if (problem[0] != '\0' && zkh_addresses_merge(addresses, &session->addresses) < 0)
		problem = strerror(ENOMEM);
	if (addresses->count > 0 && !zkh_addresses_equal(addresses, &session->addresses)) {
		zkh_addresses_finish(&session->addresses);
		session->addresses = *addresses;
		*addresses = (struct zkh_addresses){ 0 };
		session->addresses_changed = true;
		session->failures = 0;
	}
	if (problem[0] != '\0')
		zkh_session_emit(session, ZKH_NAMES_FAILED, problem);
	zkh_session_leave(session);
}

/* A new session may only begin where the names lead now: their old addresses may be another ensemble's. */
static bool names_outdated(const struct zkh_session *session, int64_t now_ms)
{
	return session->names && session->zh == NULL && session->id.id == 0 &&
	       now_ms >= session->hold_until_ms &&
	       now_ms - session->resolved_ms >= RESOLVE_FRESH_MS;
}

bool zkh_names_ready(const struct zkh_session *session, int64_t now_ms)
{
	return session->addresses.count > 0 && !names_outdated(session, now_ms);
}

void zkh_names_advance(struct zkh_session *session, int64_t now_ms)
{
	bool in_vain = session->failures >= session->addresses.count &&
		       now_ms - session->resolved_ms >= RESOLVE_AGAIN_MS;
	int r;

	if (!session->names || zkh_resolve_running(&session->resolver) ||
	    now_ms < session->resolve_at_ms || (!in_vain && zkh_names_ready(session, now_ms)))
		return;
	r = zkh_resolve_start(&session->resolver, session->loop, session->servers,
			      RESOLVE_TIMEOUT_MS, names_on_resolved, session);
	if (r < 0) {
		session->resolve_at_ms = now_ms + zkh_session_pause_ms(session, RESOLVE_PAUSE_MS);
		zkh_session_emit(session, ZKH_NAMES_FAILED, strerror(-r));
	}
}
