/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* splitmix64: one word of state, every seed is a good one. */

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 to below - 1; below > 0 */
static inline uint32_t rng_below(struct rng *r, uint32_t below)
{
	return (uint32_t)(((rng_next(r) >> 32) * below) >> 32);
}

/* low to high, both included */
static inline int64_t rng_range(struct rng *r, int64_t low, int64_t high)
{
	uint64_t span = (uint64_t)(high - low) + 1;

	if (span <= UINT32_MAX)
		return low + (int64_t)rng_below(r, (uint32_t)span);
	return low + (int64_t)(rng_next(r) % span);
}

/* true `permille` times of 1000 */
static inline bool rng_chance(struct rng *r, uint32_t permille)
{
	return rng_below(r, 1000) < permille;
}
