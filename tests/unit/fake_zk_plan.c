/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_zk_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PLANS_MAX 16u

struct plan {
	unsigned ordinal; /* 0: free */
	enum fake_zk_way way;
	void (*fn)(void *userdata, zhandle_t *handle); /* a hook, not a fault */
	void *userdata;
};

static struct plan plans[PLANS_MAX];
static unsigned conflict_operation;
static char last_conflict[4096];
static bool last_conflict_deleted;

const char *fake_zk_way_text(enum fake_zk_way way)
{
	static const char *const texts[] = {
#define X(name, text) text,
		FAKE_ZK_WAYS(X)
#undef X
	};

	return texts[way];
}

static struct plan *planned(unsigned ordinal, bool hook)
{
	for (unsigned i = 0; i < PLANS_MAX; i++) {
		if (plans[i].ordinal == ordinal && !plans[i].fn == !hook)
			return &plans[i];
	}
	return NULL;
}

/* The request's fate; taken off the plan. */
bool fz_plan_fate(unsigned ordinal, enum fake_zk_way *ret_way)
{
	struct plan *plan = planned(ordinal, false);

	if (!plan)
		return false;
	*ret_way = plan->way;
	plan->ordinal = 0;
	return true;
}

void fz_plan_hook(unsigned ordinal, zhandle_t *handle)
{
	struct plan *hook = planned(ordinal, true);

	if (!hook)
		return;
	hook->ordinal = 0;
	hook->fn(hook->userdata, handle);
}

void fz_plan_conflict(const struct fz_request *request, bool delete)
{
	const char *path = request->path;

	if (request->count)
		path = request->ops[conflict_operation % (unsigned)request->count].path;
	snprintf(last_conflict, sizeof(last_conflict), "%s", path);
	last_conflict_deleted = delete &&fake_zk_delete(path) == ZOK;
	if (last_conflict_deleted)
		return;
	if (fake_zk_set(path, "stranger") == ZNONODE)
		fake_zk_create(path, "stranger", 0);
}

bool fz_server_number(unsigned *ret_ordinal)
{
	struct plan *plan = planned(++fz_counts.requests, false);

	*ret_ordinal = fz_counts.requests;
	if (!plan || plan->way != FAKE_ZK_MARSHALLING)
		return false;
	plan->ordinal = 0;
	return true;
}

void fz_plan_reset(void)
{
	memset(plans, 0, sizeof(plans));
	conflict_operation = 0;
	last_conflict[0] = 0;
}

static void plan(unsigned k, struct plan what)
{
	struct plan *slot = planned(0, false);

	for (unsigned i = 0; i < PLANS_MAX && !slot; i++)
		slot = plans[i].ordinal ? NULL : &plans[i];
	assert(slot && k > 0);
	*slot = what;
	slot->ordinal = fz_counts.requests + k;
}

void fake_zk_fail(unsigned k, enum fake_zk_way way)
{
	plan(k, (struct plan){ .way = way });
}

void fake_zk_before(unsigned k, void (*fn)(void *userdata, zhandle_t *handle), void *userdata)
{
	plan(k, (struct plan){ .fn = fn, .userdata = userdata });
}

void fake_zk_conflict_operation(unsigned index)
{
	conflict_operation = index;
}

const char *fake_zk_last_conflict(bool *ret_deleted)
{
	*ret_deleted = last_conflict_deleted;
	return last_conflict;
}

unsigned fake_zk_unplan(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < PLANS_MAX; i++) {
		count += plans[i].ordinal != 0;
		plans[i].ordinal = 0;
	}
	return count;
}
