/* SPDX-License-Identifier: Apache-2.0 */
#include "show.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/wall.h"
#include "internal.h"

void status_look(const char *path, const struct status_clock *clock, struct status_look *ret_look)
{
	*ret_look = (struct status_look){ .now_us = 0 };
	ret_look->result = status_read(path, clock, &ret_look->status, &ret_look->now_us);
	ret_look->wall_us = time_wall_us();
}

void status_put_escaped(FILE *file, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', file);
		fputc((unsigned char)*text < 0x80 ? *text : '?', file);
	}
}

static void put_text(FILE *file, const char *name, const char *text)
{
	fprintf(file, ",\"%s\":", name);
	if (!*text) {
		fputs("null", file);
		return;
	}
	fputc('"', file);
	status_put_escaped(file, text);
	fputc('"', file);
}

static void put_seconds(FILE *file, const char *name, int64_t us)
{
	fprintf(file, ",\"%s\":%" PRId64 ".%03d", name, us / 1000000, (int)(us / 1000 % 1000));
}

static void put_boolean(FILE *file, const char *name, bool value)
{
	fprintf(file, ",\"%s\":%s", name, value ? "true" : "false");
}

static void put_since(FILE *file, const struct status_look *look)
{
	char text[WALL_TEXT_SIZE];
	int64_t ago_us = look->now_us - look->status.since_us;

	put_text(file, "since", wall_utc((look->wall_us - ago_us) / 1000, text));
}

static void put_rest(FILE *file, const struct status_look *look)
{
	const struct status *s = &look->status;

	put_text(file, "mode", s->coordinator ? "coordinator" : "client");
	put_text(file, "root", s->root);
	put_text(file, "cluster", s->cluster);
	put_text(file, "version", s->version);
	put_boolean(file, "fresh", status_is_fresh(s, look->now_us));
	put_boolean(file, "connected", s->connected);
	put_boolean(file, "registered", s->registered);
	put_boolean(file, "healthy", s->healthy);
	put_boolean(file, "drained", s->drained);
	put_boolean(file, "maintenance", s->maintenance);
	put_boolean(file, "guarded", s->guarded);
	put_seconds(file, "penalty_s", status_left_us(s->penalty_until_us, look->now_us));
	put_seconds(file, "session_timeout_s", s->session_us);
}

void status_print_json(FILE *file, const struct status_look *look, bool short_form,
		       const char *reason)
{
	const struct status *s = &look->status;

	fprintf(file, "{\"known\":%s", look->result == STATUS_OK ? "true" : "false");
	if (look->result == STATUS_OK) {
		put_text(file, "node", s->node);
		put_text(file, "state", s->state);
		put_boolean(file, "is_primary", status_primary_left_us(s, look->now_us) > 0);
		put_text(file, "primary", s->primary);
		fprintf(file, ",\"epoch\":%" PRId64, s->epoch);
		put_since(file, look);
		put_seconds(file, "lease_s", status_left_us(s->lease_end_us, look->now_us));
		if (!short_form)
			put_rest(file, look);
	}
	put_text(file, "reason", reason);
	fputs("}\n", file);
}
