/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <stdlib.h>
#include <string.h>

/* -- what is asked: each returns why not, NULL: yes -- */

static const char *check_primary(const struct status *s, int64_t now_us)
{
	return status_primary_left_us(s, now_us) ? NULL : "this node is not primary";
}

static const char *check_liveness(const struct status *s, int64_t now_us)
{
	return status_is_fresh(s, now_us) ? NULL : "the daemon does not run, or hangs";
}

static const char *check_readiness(const struct status *s, int64_t now_us)
{
	const char *why = check_liveness(s, now_us);

	if (why)
		return why;
	return s->registered ? NULL : "this node is not registered in ZooKeeper";
}

static const char *check_health(const struct status *s, int64_t now_us)
{
	const char *why = check_readiness(s, now_us);

	if (why)
		return why;
	if (!s->connected)
		return "this node is not connected to ZooKeeper";
	return s->healthy ? NULL : "this node is not healthy";
}

static const char *check_secondary(const struct status *s, int64_t now_us)
{
	const char *why = check_health(s, now_us);

	if (why)
		return why;
	if (!s->coordinator || strcmp(s->state, "secondary") != 0)
		return "this node is not a secondary";
	return s->drained ? "this node is drained" : NULL;
}

/* -- where -- */

typedef const char *(*check_fn)(const struct status *status, int64_t now_us);

static const struct {
	const char *path;
	check_fn check;
} checks[] = {
	{ "/", check_primary },
	{ "/primary", check_primary },
	{ "/leader", check_primary },
	{ "/read-write", check_primary },
	{ "/secondary", check_secondary },
	{ "/replica", check_secondary },
	{ "/read-only", check_secondary },
	{ "/health", check_health },
	{ "/liveness", check_liveness },
	{ "/readiness", check_readiness },
};

static check_fn find_check(const char *path)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (!strcmp(path, checks[i].path))
			return checks[i].check;
	return NULL;
}

/* -- the answer -- */

static bool is_method(const char *method)
{
	return !strcmp(method, "GET") || !strcmp(method, "HEAD") || !strcmp(method, "OPTIONS");
}

static int write_check(FILE *file, const struct status_look *look, check_fn check)
{
	const char *why = look->result == STATUS_OK ? check(&look->status, look->now_us)
						    : status_result_text(look->result);

	status_print_json(file, look, true, why ? why : election_reason_text(look->status.reason));
	return why ? 503 : 200;
}

static int write_body(FILE *file, const char *path, const char *accept,
		      const struct status_look *look, const char **ret_type)
{
	bool openmetrics = accept && strstr(accept, "application/openmetrics-text");
	check_fn check = find_check(path);

	*ret_type = "application/json";
	if (check)
		return write_check(file, look, check);
	if (!strcmp(path, "/status")) {
		status_print_json(file, look, false,
				  look->result == STATUS_OK
					  ? election_reason_text(look->status.reason)
					  : status_result_text(look->result));
		return 200;
	}
	if (!strcmp(path, "/metrics")) {
		*ret_type = openmetrics ? STATUS_OPENMETRICS_TYPE : STATUS_METRICS_TYPE;
		status_print_metrics(file, look, openmetrics);
		return 200;
	}
	*ret_type = NULL;
	return 404;
}

void answer_make(const char *method, const char *path, const char *accept,
		 const struct status_look *look, struct answer *ret_answer)
{
	struct answer answer = { .code = 405 };
	FILE *file;

	/* Patroni ignores more slashes, too; its clients send them (an endpoint that ends with one). */
	while (path[0] == '/' && path[1] == '/')
		path++;
	if (is_method(method)) {
		file = open_memstream(&answer.body, &answer.length);
		if (file)
			answer.code = write_body(file, path, accept, look, &answer.type);
		if (!file || fclose(file) != 0) {
			free(answer.body);
			answer = (struct answer){ .code = 500 };
		} else if (look->result == STATUS_OK) {
			answer.epoch = look->status.epoch;
		}
	}
	*ret_answer = answer;
}
