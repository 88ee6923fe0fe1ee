/* SPDX-License-Identifier: Apache-2.0 */
#include "changes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct changes {
	const struct facts *before, *after;
	changes_fn fn;
	void *userdata;
};

static void say(struct changes *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct changes *c, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->fn(c->userdata, text);
}

static void compare_key(struct changes *c)
{
	if (c->before->key_mzxid == c->after->key_mzxid)
		return;
	if (!c->after->key_there)
		say(c, "%s is gone", PATH_PRIMARY);
	else if (*c->after->named)
		say(c, "%s is named primary (epoch %" PRId64 ")", c->after->named,
		    c->after->key_mzxid);
	else
		say(c, "no node is named primary any more");
}

static void compare_release(struct changes *c)
{
	bool same = c->before->post_since_ms == c->after->post_since_ms &&
		    c->before->epoch == c->after->epoch;

	if (c->before->post_there && (!c->after->post_there || !same))
		say(c, "%s released the post: its work is down",
		    *c->before->acting ? c->before->acting : "somebody");
}

static void compare_entry(struct changes *c)
{
	bool same = c->before->post_there && c->before->post_since_ms == c->after->post_since_ms &&
		    c->before->epoch == c->after->epoch;

	if (c->after->post_there && !same)
		say(c, "%s took the post (epoch %" PRId64 ")",
		    *c->after->acting ? c->after->acting : "somebody", c->after->epoch);
}

static void compare_stops(struct changes *c, const struct node_facts *a, const struct node_facts *b)
{
	if (strcmp(a->router, b->router) != 0 && !strcmp(b->router, "relinquish"))
		say(c, "%s stops its work", b->name);
}

static void compare_router(struct changes *c, const struct node_facts *a,
			   const struct node_facts *b)
{
	if (!strcmp(a->router, b->router))
		return;
	if (!strcmp(b->router, "takeover"))
		say(c, "%s starts its work", b->name);
	else if (!strcmp(b->router, "primary"))
		say(c, "%s is primary: its work runs", b->name);
	else if (strcmp(b->router, "relinquish") != 0 && !router_state_is_acting(a->router))
		say(c, "%s is in state %s", b->name, *b->router ? b->router : "unknown");
}

static void compare_node(struct changes *c, const struct node_facts *a, const struct node_facts *b)
{
	if (a->alive != b->alive)
		say(c, b->alive ? "%s is alive" : "%s is no longer alive", b->name);
	else if (a->alive && a->self.pid != b->self.pid)
		say(c, "%s was restarted", b->name);
	if (strcmp(a->state, b->state) != 0 && *b->state)
		say(c, "%s: daemon state %s", b->name, b->state);
	if (strcmp(a->mode, b->mode) != 0 && *b->mode)
		say(c, "%s: mode %s", b->name, b->mode);
	if (strcmp(a->health, b->health) != 0)
		say(c, b->healthy ? "%s is healthy" : "%s is not healthy: %s", b->name,
		    *b->health ? b->health : "unknown");
	if (a->drained != b->drained)
		say(c, b->drained ? "%s is drained%s%s" : "%s is no longer drained", b->name,
		    *b->drain ? ": " : "", b->drain);
	compare_router(c, a, b);
}

/* Both lists are sorted: for each pair, and for what is in one alone, when asked for. */
static void each_pair(struct changes *c, bool alone,
		      void (*fn)(struct changes *c, const struct node_facts *a,
				 const struct node_facts *b))
{
	size_t i = 0, j = 0;

	while (i < c->before->node_count || j < c->after->node_count) {
		const struct node_facts *a = i < c->before->node_count ? &c->before->nodes[i]
								       : NULL;
		const struct node_facts *b = j < c->after->node_count ? &c->after->nodes[j] : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);

		if (order == 0)
			fn(c, a, b);
		else if (alone)
			say(c, order < 0 ? "%s was removed" : "%s is new",
			    order < 0 ? a->name : b->name);
		i += order <= 0;
		j += order >= 0;
	}
}

void changes_between(const struct facts *before, const struct facts *after, changes_fn fn,
		     void *userdata)
{
	struct changes c = { .before = before, .after = after, .fn = fn, .userdata = userdata };
	char text[FACTS_TEXT_SIZE];

	if (before->maintenance != after->maintenance ||
	    before->maintenance_end_ms != after->maintenance_end_ms)
		say(&c, "maintenance is %s", facts_maintenance(after, text));
	compare_key(&c);
	each_pair(&c, false, compare_stops);
	compare_release(&c);
	compare_entry(&c);
	each_pair(&c, true, compare_node);
}
