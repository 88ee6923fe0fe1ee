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
#define SIZE_ADDRESS CONFIG_ADDRESS_SIZE
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
