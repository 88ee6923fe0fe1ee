/* SPDX-License-Identifier: Apache-2.0 */

/* The owner of a digest credential, as ZooKeeper's DigestAuthenticationProvider names it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "zk/zkh_digest.h"

static void test_ids(void **state)
{
	/* Lengths around the ends of SHA-1's blocks: "u:" and x's. */
	static const struct {
		const char *credential;
		size_t length;
		const char *id;
	} cases[] = {
		{ "super:superpw", 0, "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=" },
		{ "u:p", 0, "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=" },
		{ "nodes:old-secret", 0, "nodes:pKRzYp2d8qaU1UsLse7YC75KbSE=" },
		{ NULL, 54, "u:YIWqF/IAYi1mVmG6Qs7f08w6TSM=" },
		{ NULL, 55, "u:HCI5t/vUzmyRgotbI4m3dQEEprM=" },
		{ NULL, 56, "u:u6S5RlhYzGpVsIVz9ipesnwKfUg=" },
		{ NULL, 57, "u:8rgiTm8PxrlMZwsOCxi4L4tFeug=" },
		{ NULL, 63, "u:E2KmMVCAMJOBFyzP962n0SY64gA=" },
		{ NULL, 64, "u:bqUvG0kh8XF9FXbJtNgRC3Yf5Tw=" },
		{ NULL, 65, "u:fN6bK+54X+NL4fOD+gIIskeiqAg=" },
		{ NULL, 118, "u:U4/N9q/ePXAelwqNgILD1OwayLI=" },
		{ NULL, 119, "u:bBxrzwIXnEpu/7+xNCrW3LLMDio=" },
		{ NULL, 120, "u:9uXofdQ7keL3T4mU4I82pvK4b5w=" },
		{ NULL, 127, "u:zwdcY+TuFpIVFlqpKe70cZ0TPAY=" },
		{ NULL, 128, "u:7KBcpCgxspzCduUwVPlPTiRPS64=" },
		{ NULL, 255, "u:Svc9eK6btSagTsKNsdCkaClIhak=" },
	};
	char id[ZKH_DIGEST_ID_SIZE], made[ZKH_CREDENTIAL_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *credential = cases[i].credential;

		if (!credential) {
			memset(made, 'x', sizeof(made));
			memcpy(made, "u:", 2);
			made[cases[i].length] = '\0';
			credential = made;
		}
		assert_int_equal(zkh_digest_id(credential, id), 0);
		assert_string_equal(id, cases[i].id);
	}
}

static void test_none(void **state)
{
	char id[ZKH_DIGEST_ID_SIZE] = "x";

	assert_int_equal(zkh_digest_id("nobody", id), 0);
	assert_string_equal(id, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
