/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What keeps a node from the role, and what would change it. */

#include "cluster/facts.h"

/* Writes into text[size] how an operator can remove the obstacle, one bit of enum election_obstacle. */
void advice_remedy(const struct node_facts *node, uint32_t bit, char *text, size_t size);

/* One line on stderr for each bit: why, and what would change it. */
void advice_say(const struct node_facts *node, uint32_t bits);
