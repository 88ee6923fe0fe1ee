/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_parts.h"

#include <stdio.h>
#include <string.h>

static struct bus_part *find(const struct bus_parts *parts, const char *unit)
{
	for (size_t i = 0; i < parts->n; i++)
		if (!strcmp(parts->list[i].name, unit))
			return (struct bus_part *)&parts->list[i];
	return NULL;
}

void bus_parts_reset(struct bus_parts *parts, struct bus *bus, const char *unit)
{
	parts->bus = bus;
	parts->n = 0;
	parts->cut = false;
	bus_parts_add(parts, unit, false);
}

void bus_parts_again(struct bus_parts *parts)
{
	parts->cut = false;
	for (size_t i = 0; i < parts->n; i++)
		parts->list[i].asked = false;
}

void bus_parts_doubt(struct bus_parts *parts)
{
	for (size_t i = 1; i < parts->n; i++)
		parts->list[i].apart = true;
}

void bus_parts_add(struct bus_parts *parts, const char *unit, bool apart)
{
	struct bus_part *part = find(parts, unit);

	if (part)
		part->apart = part->apart && apart;
	if (part || strlen(unit) >= BUS_UNIT_SIZE)
		return;
	parts->cut = parts->n == BUS_PARTS_MAX;
	if (parts->cut)
		return;
	part = &parts->list[parts->n++];
	part->bus = parts->bus;
	strcpy(part->name, unit);
	part->asked = part->remains = false;
	part->apart = apart;
	part->up = true;
	part->state[0] = '\0';
}

struct bus_part *bus_parts_next(struct bus_parts *parts)
{
	for (size_t i = 0; i < parts->n; i++) {
		if (parts->list[i].asked)
			continue;
		parts->list[i].asked = true;
		return &parts->list[i];
	}
	return NULL;
}

bool bus_parts_all_asked(const struct bus_parts *parts)
{
	for (size_t i = 0; i < parts->n; i++)
		if (!parts->list[i].asked)
			return false;
	return true;
}

void bus_parts_forget_states(struct bus_parts *parts)
{
	for (size_t i = 0; i < parts->n; i++)
		parts->list[i].up = true;
}

void bus_parts_set_state(struct bus_parts *parts, const char *unit, const char *active_state)
{
	struct bus_part *part = find(parts, unit);

	if (!part)
		return;
	part->up = !bus_state_is_down(active_state);
	snprintf(part->state, sizeof(part->state), "%s", active_state);
}

struct bus_part *bus_parts_up(struct bus_parts *parts, bool apart)
{
	for (size_t i = 0; i < parts->n; i++)
		if (parts->list[i].up && parts->list[i].apart == apart)
			return &parts->list[i];
	return NULL;
}

bool bus_parts_has(const struct bus_parts *parts, const char *unit)
{
	return find(parts, unit);
}

bool bus_state_is_down(const char *active_state)
{
	return !strcmp(active_state, "inactive") || !strcmp(active_state, "failed");
}
