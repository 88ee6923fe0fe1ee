/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What holds after any step of the core, whatever the event: the rules of the contract, one function a rule. */

#include "election/election.h"

/* The rule that the step from before to after breaks, as text; NULL: none. Pure. */
const char *election_check_step(const struct election_config *config, const struct election *before,
				const struct election_event *event, const struct election *after,
				const struct election_actions *actions);
