/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The status page in words: JSON, and metrics for Prometheus. Written to a stream whose errors the caller looks at. */

#include <stdio.h>

#include "page.h"

/* What was read: result as of status_read(), and the page if that is STATUS_OK. */
struct status_look {
	int result;
	struct status status;
	int64_t now_us;	 /* CLOCK_BOOTTIME, after the page */
	int64_t wall_us; /* since 1970, at the same moment */
};

void status_look(const char *path, const struct status_clock *clock, struct status_look *ret_look);

/*
 * The short form is {"known","node","state","is_primary","primary","epoch","since","lease_s","reason"}, and without a page
 * {"known","reason"}; reason: why the answer is no, or of the state.
 */
void status_print_json(FILE *file, const struct status_look *look, bool short_form,
		       const char *reason);

/* Text format 0.0.4, or OpenMetrics 1.0.0. */
#define STATUS_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define STATUS_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

void status_print_metrics(FILE *file, const struct status_look *look, bool openmetrics);
