/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "election/election.h"
#include "zk/zkh_result.h"

/* What the end of a lock's request means to the election. */
static inline enum election_result lock_outcome(int result)
{
	switch (result) {
	case ZKH_OK:
		return RESULT_OK;
	case ZKH_TIMEOUT:
		return RESULT_CONFLICT;
	case ZKH_LOST:
	case ZKH_UNKNOWN:
	case ZKH_NOT_CONNECTED:
		return RESULT_UNKNOWN;
	default:
		return RESULT_FAILED;
	}
}
