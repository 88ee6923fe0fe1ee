/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_digest.h"

#include <errno.h>
#include <sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

int zkh_digest_id(const char *credential, char ret_id[ZKH_DIGEST_ID_SIZE])
{
	const char *colon = strchr(credential, ':');
	unsigned char sum[SHA1_DIGEST_LENGTH];
	SHA1_CTX sha1;
	char *hash;

	*ret_id = '\0';
	if (!colon || strlen(credential) >= ZKH_CREDENTIAL_SIZE)
		return 0;
	SHA1Init(&sha1);
	SHA1Update(&sha1, (const unsigned char *)credential, strlen(credential));
	SHA1Final(sum, &sha1);
	explicit_bzero(&sha1, sizeof(sha1));
	hash = text_base64((const char *)sum, sizeof(sum));
	if (!hash)
		return -ENOMEM;
	snprintf(ret_id, ZKH_DIGEST_ID_SIZE, "%.*s:%s", (int)(colon - credential), credential,
		 hash);
	free(hash);
	return 0;
}
