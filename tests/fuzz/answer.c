/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "http/answer.h"

/* Words of a request: method, path, Accept; what is left over is laid over a page that is valid. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const methods[] = { "GET", "HEAD", "OPTIONS" };
	struct status_look look = { .now_us = 1000000, .wall_us = 1000000 };
	char none[1] = "", *words[4] = { none, none, NULL, none }, *block;
	size_t n = fuzz_words(data, size, words, 4, &block);
	struct answer answer;

	look.result = n > 3 && words[3][0] == '!' ? STATUS_TORN : STATUS_OK;
	strcpy(look.status.node, "n1");
	strcpy(look.status.root, "/a\"b\\");
	look.status.turned_us = look.status.turns_us = look.now_us;
	look.status.primary_until_us = n > 3 && words[3][0] == 'p' ? 2000000 : 0;
	answer_make(words[0], words[1], n > 2 ? words[2] : NULL, &look, &answer);
	if (answer.code == 405) {
		for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
			PROMISE(strcmp(words[0], methods[i]) != 0);
		PROMISE(!answer.body);
	} else {
		PROMISE(answer.code == 200 || answer.code == 404 || answer.code == 503);
		PROMISE((answer.code == 404) == !answer.type);
		PROMISE(strlen(answer.body) == answer.length);
	}
	if (answer.code == 200 && !strcmp(words[1], "/primary"))
		PROMISE(look.result == STATUS_OK && look.status.primary_until_us);
	free(answer.body);
	free(block);
	return 0;
}
