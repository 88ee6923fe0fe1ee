/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <string.h>

#include "ctl.h"

#define X(function, name, arguments, takes, what, example)                                         \
	{ name, arguments, takes, what, example, verb_##function },
const struct verb verbs[] = { VERBS(X) };
#undef X
const unsigned verb_count = sizeof(verbs) / sizeof(verbs[0]);

bool verb_begins(const struct verb *verb, const char *word)
{
	size_t length = strcspn(verb->name, " ");

	return !strncmp(verb->name, word, length) && !word[length];
}

const struct verb *verb_find(char *const words[], int count, int *ret_used)
{
	const struct verb *found = NULL;

	for (unsigned i = 0; i < verb_count; i++) {
		const char *second = strchr(verbs[i].name, ' ');
		int used = second ? 2 : 1;

		if (count < used || !verb_begins(&verbs[i], words[0]) ||
		    (second && strcmp(second + 1, words[1]) != 0))
			continue;
		/* `cluster accept` comes after `cluster`. */
		found = &verbs[i];
		*ret_used = used;
	}
	return found;
}

bool verb_argument_next(const char **rest, struct verb_argument *ret_argument)
{
	const char *text = *rest + strspn(*rest, " ");
	size_t length = strcspn(text, " ");

	if (!length)
		return false;
	*rest = text + length;
	ret_argument->optional = *text == '[';
	if (ret_argument->optional) {
		text++;
		length -= 2;
	}
	ret_argument->repeated = length > 3 && !strncmp(text + length - 3, "...", 3);
	ret_argument->text = text;
	ret_argument->length = length - (ret_argument->repeated ? 3 : 0);
	return true;
}

bool verb_word_next(struct verb_argument *rest, struct verb_argument *ret_word)
{
	const char *bar = memchr(rest->text, '|', rest->length);
	size_t length = bar ? (size_t)(bar - rest->text) : rest->length;

	if (!rest->length || *rest->text < 'a')
		return false;
	*ret_word = (struct verb_argument){ .text = rest->text, .length = length };
	rest->text += length + !!bar;
	rest->length -= length + !!bar;
	return true;
}

static bool is_allowed(struct verb_argument argument, const char *text)
{
	struct verb_argument word;
	bool any = true;

	while (verb_word_next(&argument, &word)) {
		any = false;
		if (strlen(text) == word.length && !strncmp(text, word.text, word.length))
			return true;
	}
	return any;
}

bool verb_takes(const struct verb *verb, char *const arguments[], int count)
{
	const char *rest = verb->arguments;
	struct verb_argument argument = { .repeated = false };
	int i = 0;

	while (verb_argument_next(&rest, &argument)) {
		if (i < count && is_allowed(argument, arguments[i]))
			i++;
		else if (!argument.optional)
			return false;
	}
	return i == count || argument.repeated;
}
