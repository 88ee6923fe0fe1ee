/* SPDX-License-Identifier: Apache-2.0 */
#include "rights.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static const struct row {
	enum right right;
	const char *path;
} rows[] = {
#define X(right, path) { RIGHT_##right, path },
	RIGHTS(X)
#undef X
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS <= RIGHTS_MAX, "RIGHTS_MAX");

static void row_path(const struct rights *rights, size_t row, char ret_path[KEY_PATH_SIZE])
{
	const char *mark = strstr(rows[row].path, "%s");
	int before = (int)(mark ? mark - rows[row].path : (ptrdiff_t)strlen(rows[row].path));

	snprintf(ret_path, KEY_PATH_SIZE, "%.*s%s%s", before, rows[row].path,
		 mark ? rights->name : "", mark ? mark + 2 : "");
}

void rights_cancel(struct rights *rights)
{
	zkh_op_cancel(rights->op);
	rights->op = NULL;
	for (size_t i = 0; i < RIGHTS_MAX; i++) {
		zkh_op_cancel(rights->lists[i]);
		rights->lists[i] = NULL;
	}
}

static int try_rows(struct rights *rights);

static void end(struct rights *rights, int result)
{
	rights_cancel(rights);
	rights->on_done(rights->userdata, result);
}

/* What is missing is missing with all that would be below it. */
static void note(struct rights *rights, size_t row, int result)
{
	char path[KEY_PATH_SIZE], other[KEY_PATH_SIZE];

	rights->results[row] = result;
	if (result != ZKH_NO_NODE)
		return;
	row_path(rights, row, path);
	for (size_t i = row; i < ROWS; i++) {
		row_path(rights, i, other);
		if (zkh_path_is_below(other, path))
			rights->results[i] = ZKH_NO_NODE;
	}
}

static void on_tried(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct rights *rights = userdata;
	bool asked = reply && reply->failed < reply->count;
	int r;

	rights->op = NULL;
	if (!asked) {
		end(rights, result == ZKH_OK ? ZKH_FAILED : result);
		return;
	}
	if (reply->failed == reply->count - 1) {
		end(rights, ZKH_OK);
		return;
	}
	note(rights, rights->owner[reply->failed], result);
	r = try_rows(rights);
	if (r != 0)
		end(rights, r > 0 ? r : ZKH_FAILED);
}

/* What a row adds to the transaction. probe: a name that nobody has. */
static void add_row(struct rights *rights, struct zkh_txn *txn, size_t row, const char *probe)
{
	char path[KEY_PATH_SIZE], child[ZKH_PATH_MAX];
	size_t first = zkh_txn_count(txn);

	row_path(rights, row, path);
	switch (rows[row].right) {
	case RIGHT_READ:
		zkh_txn_check(txn, path, ZKH_ANY_VERSION);
		break;
	case RIGHT_WRITE:
		zkh_txn_set_text(txn, path, rights->name, ZKH_ANY_VERSION);
		break;
	case RIGHT_CHILD:
		if (zkh_path_join(path, probe, child) != 0)
			break;
		zkh_txn_create_text(txn, child, rights->name, ZKH_CREATE_EPHEMERAL);
		zkh_txn_delete(txn, child, ZKH_ANY_VERSION);
		break;
	}
	for (size_t i = first; i < zkh_txn_count(txn) && i < 2 * RIGHTS_MAX; i++)
		rights->owner[i] = (unsigned)row;
}

/* Everything that is not known to be refused or missing. Each failure leaves out one row more. */
static int try_rows(struct rights *rights)
{
	struct zkh_txn *txn = zkh_txn_create(rights->session);
	uint64_t random[2];
	char probe[48];

	if (!txn)
		return -ENOMEM;
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
		zkh_txn_destroy(txn);
		return -EIO;
	}
	snprintf(probe, sizeof(probe), "/probe-%016" PRIx64 "%016" PRIx64, random[0], random[1]);
	for (size_t i = 0; i < ROWS; i++)
		if (rights->results[i] == ZKH_OK)
			add_row(rights, txn, i, probe + 1);
	/* Never there, and who looks for it needs no right: all of it is undone. */
	zkh_txn_check(txn, probe, ZKH_ANY_VERSION);
	return zkh_commit(txn, on_tried, rights, &rights->op);
}

/* -- lists that are too wide -- */

static void on_list(void *userdata, int result, struct zkh_acl *acl)
{
	struct rights *rights = userdata;
	size_t row = 0;

	/* Answers come in the order of the questions. */
	while (row < ROWS && !rights->lists[row])
		row++;
	assert(row < ROWS);
	rights->lists[row] = NULL;
	if (result == ZKH_OK)
		rights->open[row] = zkh_acl_anyone(acl) & (ZKH_MAY_WRITE | ZKH_MAY_CREATE |
							   ZKH_MAY_DELETE | ZKH_MAY_ADMIN);
	zkh_acl_free(acl);
}

static bool is_first_of_key(size_t row)
{
	for (size_t i = 0; i < row; i++)
		if (!strcmp(rows[i].path, rows[row].path))
			return false;
	return true;
}

static int look_at_lists(struct rights *rights)
{
	char path[KEY_PATH_SIZE];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ROWS; i++) {
		row_path(rights, i, path);
		if (is_first_of_key(i))
			r = zkh_acl_get(rights->session, path, on_list, rights, &rights->lists[i]);
	}
	return r;
}

int rights_try(struct rights *rights, struct zkh_session *session, const char *name, unsigned flags,
	       rights_fn on_done, void *userdata)
{
	int r;

	rights_cancel(rights);
	*rights = (struct rights){
		.session = session, .name = name, .on_done = on_done, .userdata = userdata
	};
	for (size_t i = 0; flags & RIGHTS_OF_CLIENT && i < ROWS; i++)
		if (!strstr(rows[i].path, "%s"))
			rights->results[i] = ZKH_NO_NODE;
	r = flags & RIGHTS_WITH_LISTS ? look_at_lists(rights) : 0;
	if (r == 0)
		r = try_rows(rights);
	if (r != 0)
		rights_cancel(rights);
	return r;
}

/* -- in words -- */

static __attribute__((format(printf, 2, 3))) void append(char *text, const char *fmt, ...)
{
	size_t n = strlen(text);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text + n, RIGHTS_TEXT_SIZE - n, fmt, args);
	va_end(args);
}

void rights_format_missing(const struct rights *rights, char *ret_text)
{
	static const char *const words[] = { "read", "write", "create or delete below it" };
	char path[KEY_PATH_SIZE];

	*ret_text = '\0';
	for (size_t i = 0; i < ROWS; i++) {
		int result = rights->results[i];

		if (result == ZKH_OK || result == ZKH_NO_NODE)
			continue;
		row_path(rights, i, path);
		append(ret_text, "%s%s (%s%s%s)", *ret_text ? ", " : "", path, words[rows[i].right],
		       result == ZKH_DENIED ? "" : ": ",
		       result == ZKH_DENIED ? "" : zkh_result_text(result));
	}
}

void rights_format_wide(const struct rights *rights, char *ret_text)
{
	static const struct {
		unsigned right;
		const char *word;
	} words[] = { { ZKH_MAY_WRITE, "write" },
		      { ZKH_MAY_CREATE, "create below it" },
		      { ZKH_MAY_DELETE, "delete below it" },
		      { ZKH_MAY_ADMIN, "change its access list" } };
	char path[KEY_PATH_SIZE];

	*ret_text = '\0';
	for (size_t i = 0; i < ROWS; i++) {
		const char *between = " (";

		if (!rights->open[i])
			continue;
		row_path(rights, i, path);
		append(ret_text, "%s%s", *ret_text ? ", " : "", path);
		for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
			if (!(rights->open[i] & words[k].right))
				continue;
			append(ret_text, "%s%s", between, words[k].word);
			between = ", ";
		}
		append(ret_text, ")");
	}
}

int rights_first_refusal(const struct rights *rights)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rights->results[i] != ZKH_OK && rights->results[i] != ZKH_NO_NODE)
			return rights->results[i];
	return ZKH_OK;
}

const char *rights_remedy(int result)
{
	switch (result) {
	case ZKH_DENIED:
		return "are all nodes given the same credential (zookeeper.auth-file)? see the key's access list "
		       "(getAcl), and `primaryctl check`";
	case ZKH_QUOTA:
		return "raise the quota, or remove it (zkCli.sh: listquota, setquota, delquota)";
	case ZKH_EPHEMERAL:
		return "it is ephemeral, and an ephemeral key cannot have children: delete it, and it is created again";
	case ZKH_READ_ONLY:
		return "its ensemble has lost the quorum: check the other servers";
	case ZKH_THROTTLED:
		return "the server is overloaded";
	default:
		return "";
	}
}
