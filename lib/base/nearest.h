/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Finds the word that was probably meant, after a typo. */

#include <stddef.h>

struct nearest {
	const char *wanted; /* as it was written */
	const char *best;   /* NULL: nothing is near enough */
	size_t distance;
};

/* To be called for each word that there is. A word that begins with what was written is the nearest. */
void nearest_offer(struct nearest *nearest, const char *candidate);
