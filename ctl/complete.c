/* SPDX-License-Identifier: Apache-2.0 */
#include "complete.h"

#include <stdio.h>
#include <string.h>

#include "base/keys.h"

#define ASK_TIMEOUT_US (DURATION_S)

static void offer(const char *begun, const char *word, size_t length, const char *what)
{
	if (length >= strlen(begun) && !strncmp(word, begun, strlen(begun)))
		printf("%.*s%s%s\n", (int)length, word, *what ? "\t" : "", what);
}

/* -- what ZooKeeper has -- */

struct children {
	struct ctl_reply reply;
	const char *begun, *parent;
};

static void on_children(void *userdata, int result, const char *const *names, size_t count,
			const struct zkh_stat *stat)
{
	struct children *children = userdata;
	char path[ZKH_PATH_MAX];

	ctl_on_result(&children->reply, result);
	for (size_t i = 0; result == ZKH_OK && i < count; i++) {
		/* No shell has to quote these, and no other names can be of nodes. */
		if (!zkh_name_valid(names[i]))
			continue;
		snprintf(path, sizeof(path), "%s%s", children->parent, names[i]);
		offer(children->begun, path, strlen(path), "");
	}
}

/* Offers the children of path, with `parent` before their names. */
static void offer_children(struct ctl *ctl, const char *path, const char *parent, const char *begun)
{
	struct children children = { .begun = begun, .parent = parent };
	struct zkh_op *op = NULL;

	ctl->options.has_timeout = true;
	ctl->options.timeout_us = ASK_TIMEOUT_US;
	if (!ctl_open(ctl) || ctl_load(ctl) != CTL_DONE)
		return;
	ctl_set_timeout(ctl, 0);
	if (ctl_connect(ctl) != CTL_DONE)
		return;
	(void)ctl_finish(ctl, zkh_children(ctl->session, path, false, on_children, &children, &op),
			 &children.reply, path, "");
	if (!children.reply.over)
		zkh_op_cancel(op);
}

static void offer_keys(struct ctl *ctl, const char *begun)
{
	const char *slash = strrchr(begun, '/');
	char path[ZKH_PATH_MAX], parent[ZKH_PATH_MAX];

	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - begun) + 1 : 1,
		 slash ? begun : "/");
	snprintf(path, sizeof(path), "%s", parent);
	if (path[1])
		path[strlen(path) - 1] = '\0';
	offer_children(ctl, path, parent, begun);
}

/* -- what the tables have -- */

static void offer_options(const struct verb *verb, const char *begun)
{
	struct option_text option;

	for (unsigned i = 0; options_text(i, &option); i++)
		if (!option.takes || !verb || verb->takes & option.takes)
			offer(begun, option.name, strlen(option.name), option.what);
}

/* The first words of all verbs, or the second words of those that begin with `first`. */
static void offer_verbs(const char *first, const char *begun)
{
	const char *before = "";

	for (unsigned i = 0; i < verb_count; i++) {
		const char *word = verbs[i].name, *space = strchr(word, ' ');
		size_t length = strcspn(word, " ");

		if (first && (!space || !verb_begins(&verbs[i], first)))
			continue;
		if (first)
			offer(begun, space + 1, strlen(space + 1), verbs[i].what);
		else if (strncmp(before, word, length) != 0 || strcspn(before, " ") != length)
			offer(begun, word, length, space ? "" : verbs[i].what);
		before = word;
	}
}

/* What may stand as the argument with this number. */
static void offer_argument(struct ctl *ctl, const struct verb *verb, int number, const char *begun)
{
	struct verb_argument argument, word;
	const char *rest = verb->arguments;

	do
		if (!verb_argument_next(&rest, &argument))
			return;
	while (number-- > 0 && (*rest || !argument.repeated));
	if (!strncmp(argument.text, "NODE", 4))
		offer_children(ctl, PATH_NODES, "", begun);
	else if (!strncmp(argument.text, "PATH", 4))
		offer_keys(ctl, begun);
	else if (!strncmp(argument.text, "COMMAND", 7))
		offer_verbs(NULL, begun);
	while (verb_word_next(&argument, &word))
		offer(begun, word.text, word.length, "");
}

int complete(struct ctl *ctl, int argc, char *argv[])
{
	const char *begun = argv[argc - 1];
	char **words;
	const struct verb *verb;
	int count, used = 0;

	for (int i = 1; i < argc - 1; i++)
		if (!strcmp(argv[i], "--"))
			return CTL_DONE;
	if (!options_scan(argc - 1, argv, &ctl->options))
		return CTL_DONE;
	words = ctl->options.arguments;
	count = ctl->options.argument_count;
	verb = verb_find(words, count, &used);
	if (*begun == '-')
		offer_options(verb, begun);
	else if (!count)
		offer_verbs(NULL, begun);
	else if (count == 1)
		offer_verbs(words[0], begun);
	if (verb && *begun != '-')
		offer_argument(ctl, verb, count - used, begun);
	return ctl_flush();
}
