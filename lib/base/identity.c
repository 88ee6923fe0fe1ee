/* SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sealed.h"

#define FILE_VERSION "primaryd cluster 1"
#define REMEDY                                                                                     \
	"this node claims and writes nothing there; check zookeeper.servers, or, if the old "      \
	"servers are off, run `primaryctl cluster accept`"

int64_t identity_format_known(void)
{
	const char *pretended = NULL;

#ifdef PRIMARYD_FAULT_POINTS
	pretended = getenv("PRIMARYD_FORMAT");
#endif
	return pretended ? strtoll(pretended, NULL, 10) : IDENTITY_FORMAT;
}

/* -- the comparison -- */

bool identity_is_older(const struct identity *known, const struct identity_seen *seen)
{
	return (seen->zxid && seen->zxid < known->zxid) ||
	       (seen->change && seen->change < known->change);
}

static enum identity_reason judge_read(const struct identity *known,
				       const struct identity_seen *seen)
{
	bool remembers = *known->id;

	if (remembers && strcmp(known->id, seen->id) != 0)
		return IDENTITY_OTHER_ID;
	if (remembers && seen->generation < known->generation)
		return IDENTITY_OLD_GENERATION;
	if (seen->format > identity_format_known())
		return IDENTITY_NEW_FORMAT;
	if (remembers && seen->generation == known->generation && identity_is_older(known, seen))
		return IDENTITY_OLD_ZXID;
	return IDENTITY_FINE;
}

/* No key, or one that says nothing. */
static enum identity_reason judge_absent(const struct identity *known,
					 const struct identity_seen *seen, bool lives)
{
	bool junk = seen->key == IDENTITY_JUNK;

	if (lives && identity_is_older(known, seen))
		return IDENTITY_OLD_ZXID;
	if (lives && *known->id)
		return IDENTITY_FINE;
	/* Whoever made it may be remembered by others. */
	if (junk)
		return IDENTITY_BAD_KEY;
	return *known->id ? IDENTITY_NO_ID : IDENTITY_FINE;
}

enum identity_verdict identity_judge(const struct identity *known, const struct identity_seen *seen,
				     bool lives, enum identity_reason *ret_reason)
{
	switch (seen->key) {
	case IDENTITY_REFUSED:
		*ret_reason = lives ? IDENTITY_FINE : IDENTITY_NO_ACCESS;
		if (lives && identity_is_older(known, seen))
			*ret_reason = IDENTITY_OLD_ZXID;
		return *ret_reason == IDENTITY_FINE ? IDENTITY_KNOWN : IDENTITY_FOREIGN;
	case IDENTITY_READ:
		*ret_reason = judge_read(known, seen);
		break;
	case IDENTITY_MISSING:
	case IDENTITY_JUNK:
		*ret_reason = judge_absent(known, seen, lives);
		break;
	}
	if (*ret_reason != IDENTITY_FINE)
		return IDENTITY_FOREIGN;
	if (seen->key != IDENTITY_READ)
		return IDENTITY_MAKE;
	return *known->id && seen->generation == known->generation ? IDENTITY_KNOWN
								   : IDENTITY_ADOPT;
}

static void raise(int64_t *known, int64_t seen)
{
	if (seen > *known && seen <= IDENTITY_NUMBER_MAX)
		*known = seen;
}

void identity_note_zxid(struct identity *known, int64_t zxid)
{
	raise(&known->zxid, zxid);
}

void identity_take(struct identity *known, const struct identity_seen *seen)
{
	if (seen->key == IDENTITY_READ) {
		assert(!*known->id || !strcmp(known->id, seen->id));
		if (seen->generation != known->generation)
			known->zxid = known->change = 0;
		memcpy(known->id, seen->id, sizeof(known->id));
		known->generation = seen->generation;
		known->format = seen->format;
	}
	raise(&known->zxid, seen->zxid);
	raise(&known->change, seen->change);
}

static bool note_epoch(int64_t *noted, int64_t epoch)
{
	if (epoch <= *noted || epoch > IDENTITY_NUMBER_MAX)
		return false;
	*noted = epoch;
	return true;
}

bool identity_note_epoch(struct identity *known, int64_t epoch)
{
	return note_epoch(&known->epoch, epoch);
}

bool identity_note_own(struct identity *known, int64_t epoch)
{
	return note_epoch(&known->own, epoch);
}

bool identity_note_made(struct identity *known, int64_t czxid)
{
	if (czxid <= 0 || czxid > IDENTITY_NUMBER_MAX || czxid == known->made)
		return false;
	known->made = czxid;
	return true;
}

bool identity_differs(const struct identity *a, const struct identity *b)
{
	return strcmp(a->id, b->id) != 0 || a->generation != b->generation ||
	       a->epoch != b->epoch || a->made != b->made || a->own != b->own ||
	       a->format != b->format;
}

bool identity_is_of(const struct identity *known, const char *root, const char *name)
{
	return !strcmp(known->root, root) && !strcmp(known->name, name);
}

/* -- words -- */

char *identity_explain(enum identity_reason reason, const struct identity *known,
		       const struct identity_seen *seen, const char *servers, char *ret_text)
{
	bool by_zxid = seen->zxid < known->zxid;
	char what[IDENTITY_TEXT_SIZE - 120] = "";

#define SAY(...) (void)snprintf(what, sizeof(what), __VA_ARGS__)
	switch (reason) {
	case IDENTITY_OTHER_ID:
		SAY("belongs to another cluster: /cluster says %s, but this node belongs to "
		    "%s; " REMEDY,
		    seen->id, known->id);
		break;
	case IDENTITY_NO_ID:
		SAY("has lost its data, or is another ensemble: /cluster is missing, but this "
		    "node belongs to cluster %s; " REMEDY,
		    known->id);
		break;
	case IDENTITY_OLD_GENERATION:
		SAY("is outdated: /cluster says generation %" PRId64
		    ", but this node has seen %" PRId64 "; " REMEDY,
		    seen->generation, known->generation);
		break;
	case IDENTITY_OLD_ZXID:
		SAY("holds older data than this node has seen (a restored backup?): zxid "
		    "0x%" PRIx64 ", seen 0x%" PRIx64 "; " REMEDY,
		    (uint64_t)(by_zxid ? seen->zxid : seen->change),
		    (uint64_t)(by_zxid ? known->zxid : known->change));
		break;
	case IDENTITY_BAD_KEY:
		SAY("cannot be identified: /cluster is invalid; this node claims and writes "
		    "nothing there; run `primaryctl cluster accept` on a node that remembers "
		    "the cluster");
		break;
	case IDENTITY_NO_ACCESS:
		SAY("cannot be identified: /cluster can be neither read nor created; give all "
		    "nodes the same credential (zookeeper.auth-file)");
		break;
	case IDENTITY_NEW_FORMAT:
		SAY("holds keys of format %" PRId64 " (/cluster), but this version knows "
		    "format %" PRId64 ": this node claims and writes nothing there; upgrade "
		    "primaryd on it",
		    seen->format, identity_format_known());
		break;
	case IDENTITY_FINE:
	case IDENTITY_REASON_COUNT:
		break;
	}
#undef SAY
	*ret_text = '\0';
	if (*what)
		(void)snprintf(ret_text, IDENTITY_TEXT_SIZE, "the ensemble at %.100s %s", servers,
			       what);
	return ret_text;
}

/* -- texts -- */

static bool is_id(const char *text, size_t length)
{
	return length == IDENTITY_ID_SIZE - 1 && strspn(text, "0123456789abcdef") >= length;
}

/* From `*cursor` on up to the end character, which is left out and skipped. NULL: there is no such end. */
static const char *cut(char **cursor, char end)
{
	char *text = *cursor, *at = strchr(text, end);

	if (!at)
		return NULL;
	*at = '\0';
	*cursor = at + 1;
	return text;
}

void identity_format_value(const char *id, int64_t generation, int64_t format, char *ret_text)
{
	int n = snprintf(ret_text, IDENTITY_VALUE_SIZE, "%s %" PRId64 " %" PRId64, id, generation,
			 format);

	assert(n > 0 && n < IDENTITY_VALUE_SIZE);
}

void identity_parse_value(const char *data, size_t length, struct identity_seen *ret_seen)
{
	char text[IDENTITY_VALUE_SIZE + 1];
	char *cursor = text;
	const char *id;
	int64_t generation, format;

	ret_seen->key = IDENTITY_JUNK;
	while (length && (data[length - 1] == '\n' || data[length - 1] == ' '))
		length--;
	if (length >= IDENTITY_VALUE_SIZE || memchr(data, '\0', length))
		return;
	memcpy(text, data, length);
	strcpy(text + length, " ");
	id = cut(&cursor, ' ');
	if (!id || !is_id(id, strlen(id)) ||
	    !sealed_parse_number(cut(&cursor, ' '), 1, IDENTITY_GENERATION_MAX, &generation) ||
	    !sealed_parse_number(cut(&cursor, ' '), 1, IDENTITY_FORMAT_MAX, &format) || *cursor)
		return;
	ret_seen->key = IDENTITY_READ;
	strcpy(ret_seen->id, id);
	ret_seen->generation = generation;
	ret_seen->format = format;
}

size_t identity_format_file(const struct identity *known, char *ret_text)
{
	int n = snprintf(ret_text, IDENTITY_FILE_SIZE,
			 FILE_VERSION "\nroot=%s\nname=%s\nid=%s\ngeneration=%" PRId64
				      "\nzxid=%" PRId64 "\nchange=%" PRId64 "\nepoch=%" PRId64
				      "\nown=%" PRId64 "\nmade=%" PRId64 "\n",
			 known->root, known->name, known->id, known->generation, known->zxid,
			 known->change, known->epoch, known->own, known->made);

	/* Versions that do not know the line know no other format. */
	if (known->format > 1)
		n += snprintf(ret_text + n, (size_t)(IDENTITY_FILE_SIZE - n),
			      "format=%" PRId64 "\n", known->format);
	assert(n > 0 && n + SEALED_SIZE < IDENTITY_FILE_SIZE);
	return sealed_close(ret_text, (size_t)n);
}

static bool parse_lines(char *at, struct identity *k)
{
	return sealed_text(&at, "root", NULL, k->root, sizeof(k->root)) &&
	       sealed_text(&at, "name", NULL, k->name, sizeof(k->name)) &&
	       sealed_text(&at, "id", NULL, k->id, sizeof(k->id)) && is_id(k->id, strlen(k->id)) &&
	       sealed_number(&at, "generation", 1, IDENTITY_GENERATION_MAX, &k->generation) &&
	       sealed_number(&at, "zxid", 0, IDENTITY_NUMBER_MAX, &k->zxid) &&
	       sealed_number(&at, "change", 0, IDENTITY_NUMBER_MAX, &k->change) &&
	       sealed_number(&at, "epoch", 0, IDENTITY_NUMBER_MAX, &k->epoch) &&
	       sealed_number(&at, "own", 0, IDENTITY_NUMBER_MAX, &k->own) &&
	       sealed_number(&at, "made", 0, IDENTITY_NUMBER_MAX, &k->made) &&
	       (!*at || sealed_number(&at, "format", 2, IDENTITY_FORMAT_MAX, &k->format)) && !*at;
}

bool identity_parse_file(const char *text, size_t length, struct identity *ret_known)
{
	struct identity known = { .format = 1 };
	char copy[IDENTITY_FILE_SIZE], *lines;

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, text, length);
	lines = sealed_open(copy, length, FILE_VERSION);
	if (!lines || !parse_lines(lines, &known))
		return false;
	*ret_known = known;
	return true;
}
