/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reads an entry of the history. Pure. */

#include "base/history_entry.h"

/* False: it is no entry. Unknown members are passed over. */
bool entry_parse(const char *data, size_t length, struct history_entry *ret_entry);
