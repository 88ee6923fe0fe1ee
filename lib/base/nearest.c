/* SPDX-License-Identifier: Apache-2.0 */
#include "nearest.h"

#include <string.h>

#define NEAREST_MAX 32 /* longer words are near to nothing */

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

void nearest_offer(struct nearest *nearest, const char *candidate)
{
	size_t length = strlen(nearest->wanted), distance = 0;

	if (length == 0 || length >= NEAREST_MAX || strlen(candidate) >= NEAREST_MAX)
		return;
	if (strncmp(candidate, nearest->wanted, length) != 0)
		distance = edit_distance(nearest->wanted, candidate);
	if (distance > 1 + strlen(candidate) / 4)
		return;
	if (nearest->best == NULL || distance < nearest->distance) {
		nearest->best = candidate;
		nearest->distance = distance;
	}
}
