/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/config/config.h"

/* Each server has a section of its own, and no line comes from elsewhere. */
static void check_tunnel(const struct config *config)
{
	char *text = NULL, *line;
	size_t length = 0, sections = 0;
	FILE *file = open_memstream(&text, &length);

	PROMISE(file);
	config_print_tunnel(config, file);
	PROMISE(fclose(file) == 0);
	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		sections += *line == '[';
	}
	PROMISE(sections >= 1 && sections <= (size_t)config->zookeeper.n_servers);
	free(text);
}

/* The configuration file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config_errors errors;
	struct config config = { 0 };
	char *text = fuzz_text(data, size);
	int r = config_load_string("f", text, size, 0, &config, &errors);

	PROMISE(r == CONFIG_OK || r == CONFIG_INVALID);
	PROMISE((r == CONFIG_OK) == (errors.n == 0));
	if (r == CONFIG_OK) {
		PROMISE(config.election.transition_delay_us > config.election.lock_timeout_us);
		PROMISE(config.zookeeper.n_servers > 0 && *config.zookeeper.servers);
		PROMISE(*config.node.name);
		if (config.zookeeper.tunnel)
			check_tunnel(&config);
		config_finish(&config);
	}
	free(text);
	return 0;
}
