/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <assert.h>
#include <string.h>

/* The struct's members have the types that the parsers write. */
#define SIZE_SERVERS CONFIG_VALUE_SIZE
#define SIZE_ROOT CONFIG_PATH_SIZE
#define SIZE_DURATION sizeof(int64_t)
#define SIZE_NUMBER sizeof(unsigned)
#define SIZE_PATH CONFIG_PATH_SIZE
#define SIZE_NAME CONFIG_NAME_SIZE
#define SIZE_UNIT CONFIG_UNIT_SIZE
#define SIZE_COMMAND sizeof(struct config_command)
#define SIZE_MODE sizeof(enum config_mode)
#define SIZE_SELF_FENCE sizeof(enum config_self_fence)
#define SIZE_FENCE_FAILURE sizeof(enum config_fence_failure)
#define X(section, member, name, type, ...)                                                        \
	static_assert(sizeof(((struct config *)0)->section.member) == SIZE_##type, name);
CONFIG_KEYS(X)
#undef X

const struct config_spec config_specs[CONFIG_N_KEYS] = {
#define X(section, member, name, type, default_text, min, max, description)                        \
	{ #section, name, CONFIG_TYPE_##type, default_text,                                        \
	  min,	    max,  description,	      offsetof(struct config, section.member) },
	CONFIG_KEYS(X)
#undef X
};

struct config_key config_key(enum config_key_id id)
{
	assert((unsigned)id < CONFIG_N_KEYS);
	return (struct config_key){
		.section = config_specs[id].section,
		.name = config_specs[id].name,
		.type = config_type_text(config_specs[id].type),
		.default_text = config_specs[id].default_text,
		.description = config_specs[id].description,
	};
}

void config_print_keys(FILE *file)
{
	const char *section = "";

	for (unsigned id = 0; id < CONFIG_N_KEYS; id++) {
		struct config_key key = config_key((enum config_key_id)id);

		if (strcmp(key.section, section) != 0)
			(void)fprintf(file, "%s[%s]\n", id == 0 ? "" : "\n", key.section);
		section = key.section;
		(void)fprintf(file, "  %s = %s\n      %s (%s)\n", key.name, key.default_text,
			      key.description, key.type);
	}
}

const char *config_mode_text(enum config_mode mode)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		CONFIG_MODES(X)
#undef X
	};

	return texts[mode];
}

#define NEAREST_MAX 32 /* longer names are near to nothing here */

/* How many characters to insert, remove or replace (Levenshtein). Both shorter than NEAREST_MAX. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[NEAREST_MAX + 1];
	size_t n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

void config_nearest_offer(struct config_nearest *nearest, const char *candidate)
{
	size_t distance;

	if (strlen(nearest->wanted) >= NEAREST_MAX || strlen(candidate) >= NEAREST_MAX)
		return;
	distance = edit_distance(nearest->wanted, candidate);
	if (distance > 1 + strlen(candidate) / 4)
		return;
	if (nearest->best == NULL || distance < nearest->distance) {
		nearest->best = candidate;
		nearest->distance = distance;
	}
}
