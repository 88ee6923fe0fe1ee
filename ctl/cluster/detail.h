/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * /nodes/NAME/detail: facts that a daemon publishes beyond its other keys: `key=value` pairs separated by blanks; the
 * value of `reason=`, the last one, extends to the end. Pure.
 *
 *   lock-timeout=400ms transition-delay=500ms session-timeout=10s [stop=12.345ms] [left=EPOCH | penalty-until=MS] reason=TEXT...
 */

#include "facts.h"

void detail_parse(const char *data, size_t length, struct node_detail *ret_detail);
