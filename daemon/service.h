/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Notifies the service manager: ready (the node is registered, or 15 s have passed), the current status, that all is in
 * order (watchdog), that the daemon re-executes itself, that it stops. Without a service manager none of this does
 * anything, and no timer runs.
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/config/config.h"
#include "node/node.h"

#define SERVICE_STATUS_SIZE 600

struct service {
	struct ev_loop *loop;
	const struct config *config;
	const struct node *node;
	ev_timer watchdog, retry, ready_timeout;
	bool ready, told_ready;
	bool stopping, told_stopping;
	char told_status[SERVICE_STATUS_SIZE]; /* without the time that the lease has left */
};

/* config must outlive it. ready: a reload is under way, which ends here; one of a daemon that was not ready is none. */
void service_init(struct service *service, struct ev_loop *loop, const struct config *config,
		  bool ready);

/* After every change of the node; says what is new. The node must live as long as the loop runs. */
void service_update(struct service *service, const struct node *node);

/* Around the attempt to execute the binary anew. */
void service_reload_begins(struct service *service);
void service_reload_failed(struct service *service);
