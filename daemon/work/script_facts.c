/* SPDX-License-Identifier: Apache-2.0 */
#include "script_facts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static void add(struct script_environment *env, size_t *n, const char *key, const char *value)
{
	assert(*n < SCRIPT_FACTS_MAX);
	snprintf(env->texts[*n], SCRIPT_FACT_SIZE, "PRIMARYD_%s=%s", key, value);
	env->list[*n] = env->texts[*n];
	env->list[++*n] = NULL;
}

void script_environment(const struct script_facts *facts, struct script_environment *ret)
{
	char epoch[24];
	size_t n = 0;

	snprintf(epoch, sizeof(epoch), "%" PRId64, facts->epoch);
	add(ret, &n, "EVENT", facts->event);
	add(ret, &n, "NODE", facts->node);
	add(ret, &n, "PRIMARY", facts->primary);
	add(ret, &n, "PREVIOUS", facts->previous);
	add(ret, &n, "EPOCH", epoch);
	add(ret, &n, "REASON", facts->reason);
	if (facts->target)
		add(ret, &n, "TARGET", facts->target);
}
