/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is answered to a request: method, path and the status page in; code and body out. Knows no HTTP library. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status/show.h"

#define ANSWER_METHODS "GET, HEAD, OPTIONS"

struct answer {
	int code;	  /* 200, 503, 404, 405, 500 */
	const char *type; /* of the body; NULL: none */
	char *body;	  /* to be freed; NULL: none */
	size_t length;
	int64_t epoch; /* 0: not told */
};

/* accept: that header, or NULL. A HEAD or OPTIONS request has the same answer; its body is not sent. */
void answer_make(const char *method, const char *path, const char *accept,
		 const struct status_look *look, struct answer *ret_answer);
