/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Servers that know less than the session: restored from a backup, or emptied. Such a server closes the connection of a
 * client that has seen more, without a word; but so does a server without a quorum, and one that lags. So when every
 * server has had its turn, a probe, which has seen nothing, asks the server that refused for a session of its own. If
 * that is granted, the server has caught up with all that its ensemble knows. If the server then refuses the session
 * once more, the session is given up. In all other cases the session keeps trying.
 */

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "zkh_internal.h"

static void probe_over(struct zkh_session *session, bool granted)
{
	session->doubt.probe = zkh_session_destroy(session->doubt.probe);
	session->doubt.granted = granted;
	if (granted)
		zkh_link_stay(session);
	session->hold_until_ms = 0;
}

static void on_probe(void *userdata, const struct zkh_session_report *report)
{
	/* Its session is left to expire: a close would block. */
	probe_over(userdata, report->event == ZKH_CONNECTED);
}

/* In vain: the next round over the servers tries again. */
static void probe_start(struct zkh_session *session)
{
	char server[sizeof(session->server) + 2];
	struct zkh_session_config config = {
		.servers = server,
		.root = "/",
		.timeout_ms = session->timeout_ms,
		.connect_timeout_ms = session->connect_timeout_ms,
		.seed = zkh_session_random(session, UINT32_MAX),
		.on_event = on_probe,
		.userdata = session,
	};

	zkh_server_format(session->server, server, sizeof(server));
	(void)zkh_session_create(session->loop, &config, &session->doubt.probe);
}

bool zkh_doubt_refused(struct zkh_session *session)
{
	struct zkh_doubt *doubt = &session->doubt;
	unsigned round = (unsigned)zkh_names_entries(session);

	assert(doubt->probe == NULL);
	if (doubt->granted && strcmp(doubt->server, session->server) == 0)
		return true;
	doubt->granted = false;
	if (session->failures < round || session->failures < doubt->next_failures ||
	    session->closing.state != ZKH_CLOSE_NONE)
		return false;
	doubt->next_failures = session->failures + round;
	snprintf(doubt->server, sizeof(doubt->server), "%s", session->server);
	probe_start(session);
	return false;
}

bool zkh_doubt_asks(const struct zkh_session *session)
{
	return session->doubt.probe != NULL;
}

void zkh_doubt_end(struct zkh_session *session)
{
	session->doubt.probe = zkh_session_destroy(session->doubt.probe);
	session->doubt.granted = false;
	session->doubt.next_failures = 0;
}
