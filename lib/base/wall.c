/* SPDX-License-Identifier: Apache-2.0 */
#include "wall.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"

int64_t wall_now_ms(void)
{
	return time_wall_us() / 1000;
}

static char *format(const struct tm *tm, int64_t ms, char separator, const char *zone, char *text)
{
	size_t n = strftime(text, WALL_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", tm);

	snprintf(text + n, WALL_TEXT_SIZE - n, ".%03d%s", (int)(ms % 1000), zone);
	*strchrnul(text, 'T') = separator;
	return text;
}

char *wall_local(int64_t ms, char text[WALL_TEXT_SIZE])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm = { 0 };

	localtime_r(&seconds, &tm);
	return format(&tm, ms, ' ', "", text);
}

char *wall_zoned(int64_t ms, char text[WALL_TEXT_SIZE])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm = { 0 };
	char zone[8] = "";

	localtime_r(&seconds, &tm);
	(void)strftime(zone, sizeof(zone), "%z", &tm);
	return format(&tm, ms, 'T', zone, text);
}

char *wall_utc(int64_t ms, char text[WALL_TEXT_SIZE])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm = { 0 };

	gmtime_r(&seconds, &tm);
	return format(&tm, ms, 'T', "Z", text);
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
