/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How ZooKeeper names the owner of a digest credential in access lists: USER:base64(sha1(USER:PASSWORD)). Pure. */

#define ZKH_CREDENTIAL_SIZE 256 /* the longest one, its end included */
#define ZKH_DIGEST_ID_SIZE (ZKH_CREDENTIAL_SIZE + 32)

/* "user:password" into ret_id; "" when there is no colon in it, or when it is too long. Returns 0, or -ENOMEM and "". */
int zkh_digest_id(const char *credential, char ret_id[ZKH_DIGEST_ID_SIZE]);
