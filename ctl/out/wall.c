/* SPDX-License-Identifier: Apache-2.0 */
#include "wall.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t wall_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static char *add_ms(int64_t ms, const char *tail, size_t n, char *text)
{
	snprintf(text + n, WALL_TEXT_SIZE - n, ".%03d%s", (int)(ms % 1000), tail);
	return text;
}

char *wall_local(int64_t ms, char text[WALL_TEXT_SIZE])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm = { 0 };

	localtime_r(&seconds, &tm);
	return add_ms(ms, "", strftime(text, WALL_TEXT_SIZE - 8, "%Y-%m-%d %H:%M:%S", &tm), text);
}

char *wall_utc(int64_t ms, char text[WALL_TEXT_SIZE])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm = { 0 };

	gmtime_r(&seconds, &tm);
	return add_ms(ms, "Z", strftime(text, WALL_TEXT_SIZE - 8, "%Y-%m-%dT%H:%M:%S", &tm), text);
}

int64_t wall_parse_utc(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int ms = 0;

	if (!rest || (*rest == '.' && sscanf(rest, ".%3dZ", &ms) != 1))
		return 0;
	return timegm(&tm) * INT64_C(1000) + ms;
}

char *wall_age(int64_t ms, char text[WALL_TEXT_SIZE])
{
	int64_t s = (wall_now_ms() - ms) / 1000;

	/* The clocks of two machines: a moment in the future is now. */
	if (s < 0)
		s = 0;
	if (s < 60)
		snprintf(text, WALL_TEXT_SIZE, "%" PRId64 " s", s);
	else if (s < 3600)
		snprintf(text, WALL_TEXT_SIZE, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, WALL_TEXT_SIZE, "%" PRId64 " h %" PRId64 " min", s / 3600,
			 s / 60 % 60);
	else
		snprintf(text, WALL_TEXT_SIZE, "%" PRId64 " d %" PRId64 " h", s / 86400,
			 s / 3600 % 24);
	return text;
}

char *wall_span(int64_t us, char text[WALL_TEXT_SIZE])
{
	if (us < 1000000)
		snprintf(text, WALL_TEXT_SIZE, "%" PRId64 " ms", us / 1000);
	else
		snprintf(text, WALL_TEXT_SIZE, "%" PRId64 ".%03d s", us / 1000000,
			 (int)(us / 1000 % 1000));
	return text;
}

char *wall_tenths(int64_t us, char text[WALL_TEXT_SIZE])
{
	int64_t tenths = (us + 50000) / 100000;

	snprintf(text, WALL_TEXT_SIZE, "%" PRId64 ".%d s", tenths / 10, (int)(tenths % 10));
	return text;
}
