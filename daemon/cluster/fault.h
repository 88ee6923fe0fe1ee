/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fault points, only in builds for tests (meson's option fault-points): with PRIMARYD_FAULT_POINT=NAME in the
 * environment, the process kills itself (SIGKILL) at the point of that name. The names are `TRANSACTION.before` and
 * `TRANSACTION.after`, where TRANSACTION is claim, enter, leave, hand-back, reclaim, create-key, renew or register.
 */
#ifdef PRIMARYD_FAULT_POINTS
void fault_point(const char *transaction, const char *moment);
#else
#define fault_point(transaction, moment) ((void)0)
#endif
