/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How ZooKeeper names the owner of a digest credential in access lists: USER:base64(sha1(USER:PASSWORD)). Pure. */

#include <stddef.h>
#include <stdint.h>

#include "base/config/config.h"

#define DIGEST_ID_SIZE (CONFIG_AUTH_CREDENTIAL_SIZE + 32)

/* "user:password" into ret_id[DIGEST_ID_SIZE]; "" when there is no colon in it. */
void digest_id(const char *credential, char *ret_id);
