/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fault points, in builds for tests only (meson's option fault-points): with PRIMARYD_FAULT_POINT=NAME in the environment
 * the process kills itself (SIGKILL) when it comes to the point of that name. Names: `TRANSACTION.before` and
 * `TRANSACTION.after`, with claim, enter, leave, hand-back, reclaim, create-key, renew and register for the transaction.
 */
#ifdef PRIMARYD_FAULT_POINTS
void fault_point(const char *transaction, const char *moment);
#else
#define fault_point(transaction, moment) ((void)0)
#endif
