/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define BLOCK 64
#define SUM 20

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

/* One block of SHA-1, as in FIPS 180-4. */
static void sha1_block(uint32_t h[5], const unsigned char *block)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
		       (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (int i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (int i = 0; i < 80; i++) {
		uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
			     : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
			     : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
				      : (b ^ c ^ d) + 0xca62c1d6;
		uint32_t next = rotate(a, 5) + f + e + w[i];

		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

static void sha1(const char *text, unsigned char ret_sum[SUM])
{
	unsigned char buffer[CONFIG_AUTH_CREDENTIAL_SIZE + 2 * BLOCK] = { 0 };
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	size_t n = strlen(text), blocks = (n + 8) / BLOCK + 1;

	memcpy(buffer, text, n);
	buffer[n] = 0x80;
	for (size_t i = 0; i < 8; i++)
		buffer[blocks * BLOCK - 1 - i] = (unsigned char)((uint64_t)n * 8 >> 8 * i);
	for (size_t i = 0; i < blocks; i++)
		sha1_block(h, buffer + i * BLOCK);
	explicit_bzero(buffer, sizeof(buffer));
	for (size_t i = 0; i < SUM; i++)
		ret_sum[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

void digest_id(const char *credential, char *ret_id)
{
	const char *colon = strchr(credential, ':');
	unsigned char sum[SUM];
	char *hash;

	*ret_id = '\0';
	if (!colon || strlen(credential) >= CONFIG_AUTH_CREDENTIAL_SIZE)
		return;
	sha1(credential, sum);
	hash = text_base64((const char *)sum, SUM);
	if (hash)
		snprintf(ret_id, DIGEST_ID_SIZE, "%.*s:%s", (int)(colon - credential), credential,
			 hash);
	free(hash);
}
