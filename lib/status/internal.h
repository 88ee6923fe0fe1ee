/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The page as it lies in the file: native byte order, for one machine and one boot. */

#include <stdio.h>

#include "page.h"

#define STATUS_MAGIC "primaryd status"

struct status_record {
	char magic[16];
	uint32_t format, size; /* size: of struct status */
	uint64_t sequence;     /* odd: a write is under way */
	struct status_clock clock;
	struct status status;
};

/* How long it is until that moment; 0: it is over, or there is none. */
int64_t status_left_us(int64_t until_us, int64_t now_us);

/* The inside of a quoted string, in JSON and in a label alike. A page has no control characters. */
void status_put_escaped(FILE *file, const char *text);
