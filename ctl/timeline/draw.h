/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Two pictures of one timeline, in which a state has a letter as well as a colour; and its moments in words. */

#include <stdio.h>

#include "out/table.h"
#include "timeline.h"

/* style: with a width. */
void timeline_draw_terminal(FILE *file, const struct timeline *timeline, const char *title,
			    const struct table_style *style);

/* A whole file; dark where the viewer prefers it. */
void timeline_draw_svg(FILE *file, const struct timeline *timeline, const char *title);

/* For people, with the letters of the pictures, and for programs. To be destroyed. */
struct table *timeline_moments(const struct timeline *timeline);
