/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/config/config.h"

/* The credential file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[128], message[CONFIG_ERROR_SIZE] = "";
	struct config_auth auth;
	int r;

	snprintf(path, sizeof(path), "%s/auth", fuzz_file("auth", data, size));
	r = config_load_auth(path, &auth, message, sizeof(message));
	PROMISE(r == CONFIG_OK || r == CONFIG_INVALID);
	PROMISE((r == CONFIG_OK) == (*message == '\0'));
	if (r == CONFIG_OK)
		PROMISE(auth.count > 0 && auth.count <= CONFIG_AUTH_MAX);
	for (unsigned i = 0; r == CONFIG_OK && i < auth.count; i++)
		PROMISE(*auth.list[i].scheme && *auth.list[i].credential &&
			!strpbrk(auth.list[i].scheme, " \n") &&
			!strpbrk(auth.list[i].credential, "\n"));
	return 0;
}
