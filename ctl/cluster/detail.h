/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * /nodes/NAME/detail: what a daemon says of itself beyond its other keys, if it does: `key=value` pairs with blanks
 * between them, `reason=` last and up to the end. Pure.
 *
 *   phase=follow since=MS penalty-until=MS lock-timeout=400ms transition-delay=500ms session-timeout=10s reason=TEXT...
 */

#include "facts.h"

void detail_parse(const char *data, size_t length, struct node_detail *ret_detail);
