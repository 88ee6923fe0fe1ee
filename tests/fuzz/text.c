/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/config/internal.h"
#include "base/duration.h"
#include "guard/args.h"
#include "zk/session/zkh_resolve.h"
#include "zk/zkh_path.h"

static void check_duration(const char *text)
{
	char again[DURATION_TEXT_SIZE];
	int64_t us, us_again;

	if (duration_parse(text, &us) != 0)
		return;
	PROMISE(us >= 0 && us <= DURATION_MAX);
	PROMISE(duration_parse(duration_format(us, again), &us_again) == 0 && us_again == us);
}

static void check_command(const char *text)
{
	char message[CONFIG_MSG_SIZE] = "";
	struct config_command command = { 0 };

	if (config_command_parse(text, &command, message) == 0) {
		PROMISE(!command.argv || *command.argv[0] == '/');
		free(command.argv);
	} else {
		PROMISE(*message);
	}
}

static void check_servers(const char *text)
{
	struct zkh_addresses addresses = { 0 };
	struct zkh_server server;
	const char *list = text;

	while (zkh_server_next(&list, &server) == 0)
		PROMISE(*server.host && *server.port);
	if (strlen(text) < 512 && zkh_resolve_numeric(text, 0, &addresses) == 0)
		zkh_addresses_finish(&addresses);
}

/* Single values: a duration, a command line, a list of servers, what a guard's lock says, a path. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size), parent[ZKH_PATH_MAX], joined[ZKH_PATH_MAX];
	struct guard_identity identity;

	check_duration(text);
	check_command(text);
	check_servers(text);
	(void)guard_identity_parse(text, &identity);
	(void)lock_file_pid(text);
	if (zkh_path_valid(text) && text[1]) {
		zkh_path_parent(text, parent);
		PROMISE(zkh_path_valid(parent));
		PROMISE(zkh_path_join(parent, zkh_path_name(text), joined) == 0);
		PROMISE(!strcmp(joined, text));
	}
	free(text);
	return 0;
}
