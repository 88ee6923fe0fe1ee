/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/config/config.h"

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
		config_finish(&config);
	}
	free(text);
	return 0;
}
