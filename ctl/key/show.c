/* SPDX-License-Identifier: Apache-2.0 */

/* key list and key get. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "key.h"

#define LIST_MAX 100000
#define SHOWN_BYTES 200 /* of a value, for people */

enum { PATH, VERSION, CHILDREN, OWNER, BYTES, SHOWN, VALUE, BASE64 };
static const struct table_column columns[] = {
	[PATH] = { "PATH", "path", 0 },
	[VERSION] = { "VERSION", "version", TABLE_RIGHT },
	[CHILDREN] = { "CHILDREN", "children", TABLE_RIGHT },
	[OWNER] = { "SESSION", "ephemeral_owner", 0 },
	[BYTES] = { "BYTES", "bytes", TABLE_RIGHT },
	[SHOWN] = { "VALUE", "shown", TABLE_WRAP | TABLE_FOR_PEOPLE },
	[VALUE] = { "VALUE", "value", TABLE_FOR_JSON },
	[BASE64] = { "BASE64", "base64", TABLE_FOR_JSON },
};

/* data: NULL when it may not be read. */
static void add(struct table *table, const char *path, const char *data, size_t length,
		const struct zkh_stat *stat)
{
	bool plain = !data || text_is_plain(data, length);
	char *shown = data ? text_escape(data, length, SHOWN_BYTES) : NULL;
	char *base64 = plain ? NULL : text_base64(data, length);
	char *safe_path = text_escape(path, strlen(path), SIZE_MAX);

	table_row(table);
	table_put(table, PATH, safe_path);
	table_put_number(table, VERSION, stat->version);
	table_put_number(table, CHILDREN, stat->children);
	if (stat->ephemeral_owner)
		table_putf(table, OWNER, "%016" PRIx64, (uint64_t)stat->ephemeral_owner);
	table_put_number(table, BYTES, data ? (int64_t)length : stat->data_length);
	table_put(table, SHOWN, data ? shown : "(access denied)");
	if (!data)
		table_color(table, SHOWN, TABLE_WARN);
	table_put(table, VALUE, plain ? data : NULL);
	table_put(table, BASE64, base64);
	free(shown);
	free(base64);
	free(safe_path);
}

/* -- many keys -- */

struct key_read {
	struct ctl_reply reply;
	struct table *table;
	bool below; /* without the key that was named */
};

static void on_tree(void *userdata, int result, const struct zkh_entry *entries, size_t count)
{
	struct key_read *read = userdata;

	ctl_on_result(&read->reply, result);
	for (size_t i = read->below; i < count; i++)
		add(read->table, entries[i].path,
		    entries[i].data || entries[i].denied ? entries[i].data : "", entries[i].length,
		    &entries[i].stat);
}

int verb_key_list(struct ctl *ctl)
{
	struct key_read read = { .below = !ctl->options.recursive };
	const char *path = ctl->options.argument_count ? ctl->options.arguments[0] : "/";
	struct zkh_task *task = NULL;
	int r, code;

	if (!key_path_good(path))
		return CTL_USAGE;
	read.table = TABLE_OF("keys", columns);
	r = (read.below ? zkh_level : zkh_tree)(ctl->session, path, LIST_MAX, on_tree, &read,
						&task);
	code = ctl_finish(ctl, r, &read.reply, path, "reading the keys");
	if (!read.reply.over)
		zkh_task_cancel(task);
	if (code == CTL_DONE)
		code = ctl_print(ctl, &read.table, 1);
	table_destroy(read.table);
	return code;
}

/* -- one key -- */

struct key_get {
	struct ctl_reply reply;
	const char *path;
	char *data;
	size_t length;
	struct zkh_stat stat;
};

static void on_get(void *userdata, int result, const char *data, size_t length,
		   const struct zkh_stat *stat)
{
	struct key_get *get = userdata;

	ctl_on_result(&get->reply, result);
	if (result != ZKH_OK)
		return;
	get->data = ctl_need(calloc(1, length + 1));
	if (length)
		memcpy(get->data, data, length);
	get->length = length;
	get->stat = *stat;
}

/* To a file or a pipe the bytes as they are; on a terminal nothing that could harm it. */
static int show(struct ctl *ctl, const struct key_get *get)
{
	struct table *table;
	char *text;
	int code;

	if (ctl->options.json) {
		table = TABLE_SINGLE("key", columns);
		add(table, get->path, get->data, get->length, &get->stat);
		code = ctl_print(ctl, &table, 1);
		table_destroy(table);
		return code;
	}
	if (!isatty(STDOUT_FILENO)) {
		fwrite(get->data, 1, get->length, stdout);
		return ctl_flush();
	}
	if (text_is_plain(get->data, get->length)) {
		printf("%s%s", get->data,
		       get->length && get->data[get->length - 1] == '\n' ? "" : "\n");
		return ctl_flush();
	}
	text = text_escape(get->data, get->length, SIZE_MAX);
	puts(text ? text : "");
	free(text);
	ctl_error("binary: shown with escapes (redirect stdout for the bytes themselves)");
	return ctl_flush();
}

int verb_key_get(struct ctl *ctl)
{
	struct key_get get = { .path = ctl->options.arguments[0] };
	struct zkh_op *op = NULL;
	int code;

	if (!key_path_good(get.path))
		return CTL_USAGE;
	code = ctl_finish(ctl, zkh_get(ctl->session, get.path, false, on_get, &get, &op),
			  &get.reply, get.path, "reading the key");
	if (!get.reply.over)
		zkh_op_cancel(op);
	if (code == CTL_DONE)
		code = show(ctl, &get);
	free(get.data);
	return code;
}
