/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The page as it lies in the file: native byte order, for one machine and one boot. */

#include "page.h"

#define STATUS_MAGIC "primaryd status"

struct status_record {
	char magic[16];
	uint32_t format, size; /* size: of struct status */
	uint64_t sequence;     /* odd: a write is under way */
	struct status_clock clock;
	struct status status;
};
