/* SPDX-License-Identifier: Apache-2.0 */
#include "duration.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* 10^9 hours in microseconds still fit into 64 bits. */
#define DECIMALS_MAX 9

struct unit {
	const char *name;
	int64_t us;
};

static const struct unit units[] = {
	{ "ms", DURATION_MS },
	{ "s", DURATION_S },
	{ "min", DURATION_MIN },
	{ "h", 60 * DURATION_MIN },
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int find_unit(const char *text, const char *number, int64_t *ret_us)
{
	text += strspn(text, " \t");
	if (*text == '\0') {
		/* Nought is nought in every unit; anything else could be read wrongly by 1000. */
		if (strspn(number, "0") == strlen(number)) {
			*ret_us = DURATION_S;
			return 0;
		}
		return DURATION_NO_UNIT;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text, units[i].name) == 0) {
			*ret_us = units[i].us;
			return 0;
		}
	}
	return DURATION_BAD_UNIT;
}

/* digits: what stands behind the decimal point. Exact or refused: nobody gets less than he wrote. */
static int parse_decimals(const char *digits, size_t n, int64_t unit_us, int64_t *ret_us)
{
	int64_t number = 0;
	int64_t scale = 1;

	while (n > 0 && digits[n - 1] == '0')
		n--;
	if (n > DECIMALS_MAX)
		return DURATION_TOO_FINE;
	for (size_t i = 0; i < n; i++) {
		number = number * 10 + (digits[i] - '0');
		scale *= 10;
	}
	if (number * unit_us % scale != 0)
		return DURATION_TOO_FINE;
	*ret_us = number * unit_us / scale;
	return 0;
}

int duration_parse(const char *text, int64_t *ret_us)
{
	const char *p = text;
	const char *decimals = text;
	size_t n_decimals = 0;
	int64_t unit_us, part_us;
	int64_t whole = 0;
	int r;

	if (*p == '\0')
		return DURATION_EMPTY;
	if (!is_digit(*p))
		return DURATION_NO_NUMBER;
	for (; is_digit(*p); p++) {
		whole = whole * 10 + (*p - '0');
		if (whole > DURATION_MAX)
			return DURATION_TOO_LONG;
	}
	if (*p == '.') {
		decimals = p + 1;
		n_decimals = strspn(decimals, "0123456789");
		if (n_decimals == 0)
			return DURATION_NO_NUMBER;
		p = decimals + n_decimals;
	}
	r = find_unit(p, text, &unit_us);
	if (r != 0)
		return r;
	r = parse_decimals(decimals, n_decimals, unit_us, &part_us);
	if (r != 0)
		return r;
	if (whole > (DURATION_MAX - part_us) / unit_us)
		return DURATION_TOO_LONG;
	*ret_us = whole * unit_us + part_us;
	return 0;
}

const char *duration_error_text(enum duration_error error)
{
	switch (error) {
	case DURATION_OK:
		return "is fine";
#define X(name, text)                                                                              \
	case name:                                                                                 \
		return text;
		DURATION_ERRORS(X)
#undef X
	}
	assert(!"duration_error");
	return "";
}

static char *format_decimal(int64_t us, int64_t unit_us, int digits, const char *unit, char *buf)
{
	int n;

	if (us % unit_us == 0) {
		(void)snprintf(buf, DURATION_TEXT_SIZE, "%" PRId64 "%s", us / unit_us, unit);
		return buf;
	}
	n = snprintf(buf, DURATION_TEXT_SIZE, "%" PRId64 ".%0*" PRId64, us / unit_us, digits,
		     us % unit_us);
	while (buf[n - 1] == '0')
		n--;
	(void)snprintf(buf + n, DURATION_TEXT_SIZE - (size_t)n, "%s", unit);
	return buf;
}

char *duration_format(int64_t us, char buf[DURATION_TEXT_SIZE])
{
	assert(us >= 0 && us <= DURATION_MAX);
	if (us == 0)
		return strcpy(buf, "0");
	if (us % DURATION_MIN == 0)
		return format_decimal(us, DURATION_MIN, 0, "min", buf);
	if (us < DURATION_S)
		return format_decimal(us, DURATION_MS, 3, "ms", buf);
	return format_decimal(us, DURATION_S, 6, "s", buf);
}
