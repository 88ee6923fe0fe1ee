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
	[SHOWN] = { "VALUE", "shown", TABLE_CUT | TABLE_FOR_PEOPLE },
	[VALUE] = { "VALUE", "value", TABLE_FOR_JSON },
	[BASE64] = { "BASE64", "base64", TABLE_FOR_JSON },
};

struct key_read {
	struct ctl *ctl;
	struct table *table;
	size_t open;
	int result;
	char path[ZKH_PATH_MAX]; /* of what went wrong */
	struct key_get *gets;
	size_t get_count;
};

struct key_get {
	struct key_read *read;
	struct zkh_op *op;
	char path[ZKH_PATH_MAX];
	char *data;
	size_t length;
	struct zkh_stat stat;
	bool there, denied;
};

/* data: NULL when it may not be read. */
static void add(struct table *table, const char *path, const char *data, size_t length,
		const struct zkh_stat *stat)
{
	bool plain = !data || text_is_plain(data, length);
	char *shown = data ? text_escape(data, length, SHOWN_BYTES) : NULL;
	char *base64 = plain ? NULL : text_base64(data, length);
	char *safe_path = text_escape(path, strlen(path), ZKH_PATH_MAX);

	table_row(table);
	table_put(table, PATH, safe_path);
	table_put_number(table, VERSION, stat->version);
	table_put_number(table, CHILDREN, stat->children);
	if (stat->ephemeral_owner)
		table_putf(table, OWNER, "%016" PRIx64, (uint64_t)stat->ephemeral_owner);
	table_put_number(table, BYTES, data ? (int64_t)length : stat->data_length);
	table_put(table, SHOWN, data ? shown : "(may not be read)");
	if (!data)
		table_color(table, SHOWN, TABLE_WARN);
	table_put(table, VALUE, plain ? data : NULL);
	table_put(table, BASE64, base64);
	free(shown);
	free(base64);
	free(safe_path);
}

static bool is_over(void *userdata)
{
	return !((struct key_read *)userdata)->open;
}

/* path: NULL for what was asked for. */
static void fail(struct key_read *read, int result, const char *path)
{
	if (read->result != ZKH_OK)
		return;
	read->result = result;
	if (path)
		snprintf(read->path, sizeof(read->path), "%s", path);
}

/* -- with everything below -- */

static void on_tree(void *userdata, int result, const struct zkh_entry *entries, size_t count)
{
	struct key_read *read = userdata;

	read->open--;
	if (result != ZKH_OK)
		fail(read, result, NULL);
	for (size_t i = 0; i < count; i++)
		add(read->table, entries[i].path,
		    entries[i].data || entries[i].denied ? entries[i].data : "", entries[i].length,
		    &entries[i].stat);
}

/* -- one level -- */

static void on_stat(void *userdata, int result, const struct zkh_stat *stat)
{
	struct key_get *get = userdata;

	get->op = NULL;
	get->read->open--;
	if (result == ZKH_OK) {
		get->stat = *stat;
		get->there = get->denied = true;
	} else if (result != ZKH_NO_NODE) {
		fail(get->read, result, get->path);
	}
}

static void on_get(void *userdata, int result, const char *data, size_t length,
		   const struct zkh_stat *stat)
{
	struct key_get *get = userdata;

	get->op = NULL;
	/* In a list one that may not be read must not hide the others. */
	if (result == ZKH_DENIED && get->read->gets &&
	    zkh_exists(get->read->ctl->session, get->path, false, on_stat, get, &get->op) == 0)
		return;
	get->read->open--;
	if (result == ZKH_NO_NODE)
		return; /* it went meanwhile */
	if (result != ZKH_OK) {
		fail(get->read, result, get->path);
		return;
	}
	get->data = malloc(length + 1);
	if (!get->data)
		return;
	if (length)
		memcpy(get->data, data, length);
	get->data[length] = '\0';
	get->length = length;
	get->stat = *stat;
	get->there = true;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct key_get *)a)->path, ((const struct key_get *)b)->path);
}

static void on_children(void *userdata, int result, const char *const *names, size_t count,
			const struct zkh_stat *stat)
{
	struct key_read *read = userdata;

	(void)stat;
	read->open--;
	if (result == ZKH_OK && count > LIST_MAX)
		result = ZKH_TOO_LARGE;
	if (result == ZKH_OK)
		read->gets = calloc(count + 1, sizeof(*read->gets));
	if (!read->gets) {
		fail(read, result != ZKH_OK ? result : ZKH_FAILED, NULL);
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (zkh_path_join(read->path, names[i], read->gets[read->get_count].path) == 0)
			read->gets[read->get_count++].read = read;
	qsort(read->gets, read->get_count, sizeof(*read->gets), compare);
	for (size_t i = 0; i < read->get_count; i++) {
		struct key_get *get = &read->gets[i];

		if (zkh_get(read->ctl->session, get->path, false, on_get, get, &get->op) == 0)
			read->open++;
	}
}

static int finish(struct key_read *read, int code)
{
	for (size_t i = 0; i < read->get_count; i++) {
		zkh_op_cancel(read->gets[i].op);
		free(read->gets[i].data);
	}
	free(read->gets);
	table_destroy(read->table);
	return code;
}

int key_list(struct ctl *ctl, char **arguments, int count)
{
	struct key_read read = { .ctl = ctl };
	const char *path = count ? arguments[0] : "/";
	struct zkh_task *task;
	struct zkh_op *op = NULL;
	int r, code;

	if (!key_path_good(path))
		return CTL_USAGE;
	read.table = TABLE_OF("keys", columns);
	snprintf(read.path, sizeof(read.path), "%s", path);
	read.open = 1;
	if (ctl->options.recursive)
		r = zkh_tree(ctl->session, path, LIST_MAX, on_tree, &read, &task);
	else
		r = zkh_children(ctl->session, path, false, on_children, &read, &op);
	if (r != 0)
		return finish(&read, ctl_explain_result(ctl, r, path));
	code = ctl_wait(ctl, is_over, &read);
	if (code != CTL_DONE)
		return finish(&read, ctl_explain_wait(ctl, code, "reading the keys"));
	if (read.result != ZKH_OK)
		return finish(&read, ctl_explain_result(ctl, read.result, read.path));
	for (size_t i = 0; i < read.get_count; i++)
		if (read.gets[i].there)
			add(read.table, read.gets[i].path, read.gets[i].data, read.gets[i].length,
			    &read.gets[i].stat);
	return finish(&read, ctl_print(ctl, &read.table, 1));
}

/* -- one key -- */

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
	text = text_escape(get->data, get->length, get->length);
	puts(text ? text : "");
	free(text);
	ctl_error("binary: shown with escapes (redirect stdout for the bytes themselves)");
	return ctl_flush();
}

int key_get(struct ctl *ctl, char **arguments, int count)
{
	struct key_read read = { .ctl = ctl, .open = 1 };
	struct key_get get = { .read = &read };
	int r, code;

	(void)count;
	if (!key_path_good(arguments[0]))
		return CTL_USAGE;
	snprintf(get.path, sizeof(get.path), "%s", arguments[0]);
	r = zkh_get(ctl->session, get.path, false, on_get, &get, &get.op);
	if (r != 0)
		return ctl_explain_result(ctl, r, get.path);
	code = ctl_wait(ctl, is_over, &read);
	if (code != CTL_DONE) {
		zkh_op_cancel(get.op);
		return ctl_explain_wait(ctl, code, "reading the key");
	}
	if (!get.there)
		code = ctl_explain_result(ctl, read.result != ZKH_OK ? read.result : ZKH_NO_NODE,
					  get.path);
	else
		code = show(ctl, &get);
	free(get.data);
	return code;
}
