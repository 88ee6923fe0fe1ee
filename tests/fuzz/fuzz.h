/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * libFuzzer targets: one a parser of foreign bytes. Each checks what the parser's header promises, not only that it
 * survives; a broken promise ends the target.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__,         \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The input as a string that ends where it ends, so that a reader beyond is seen. To be freed. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	PROMISE(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* The input cut at NUL bytes into at most `most` strings; *ret_block is to be freed. Returns how many. */
static inline size_t fuzz_words(const uint8_t *data, size_t size, char **words, size_t most,
				char **ret_block)
{
	char *text = fuzz_text(data, size);
	size_t n = 0;

	for (size_t at = 0; at <= size && n < most; at += strlen(text + at) + 1)
		words[n++] = text + at;
	*ret_block = text;
	return n;
}

/* A file with the input in a directory of this process; both are made at the first call. Returns the directory. */
const char *fuzz_file(const char *name, const uint8_t *data, size_t size);
