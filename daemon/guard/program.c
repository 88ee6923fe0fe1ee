/* SPDX-License-Identifier: Apache-2.0 */

/* primaryd-guard: its main(). */

#include <stdio.h>
#include <string.h>

#include "main.h"

int main(int argc, char *argv[])
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)puts("primaryd-guard " PRIMARYD_VERSION);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		(void)puts(GUARD_USAGE_TEXT);
		return 0;
	}
	return guard_main(argc, argv);
}
