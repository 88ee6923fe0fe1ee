/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Two pictures of one timeline. A state is told by a letter, too, so that no colour is needed. */

#include <stdio.h>

#include "out/table.h"
#include "timeline.h"

/* style: with a width. */
void timeline_draw_terminal(FILE *file, const struct timeline *timeline, const char *title,
			    const struct table_style *style);

/* A whole file; dark where the viewer prefers it. */
void timeline_draw_svg(FILE *file, const struct timeline *timeline, const char *title);
