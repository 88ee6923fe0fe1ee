/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which ensemble is this? Addresses get reused, and backups get restored: a node compares what the key /cluster says with
 * what it remembers before it writes anything. Pure: the comparison, its words, and the texts of the key and of the file.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDENTITY_ID_SIZE 33 /* 128 random bits as lowercase hexadecimal digits, and the NUL */
/* The highest format of the keys below the root that this version knows. */
#define IDENTITY_FORMAT 1
#define IDENTITY_FORMAT_MAX 1000
#define IDENTITY_GENERATION_MAX 1000000000
#define IDENTITY_NUMBER_MAX ((INT64_C(1) << 62) - 1) /* of an epoch and a zxid: more is junk */
#define IDENTITY_ROOT_SIZE 256
#define IDENTITY_NAME_SIZE 65
#define IDENTITY_VALUE_SIZE 64	/* of the key */
#define IDENTITY_FILE_SIZE 1024 /* of the file */
#define IDENTITY_TEXT_SIZE 480	/* of identity_explain() */

/* What a node remembers. */
struct identity {
	char id[IDENTITY_ID_SIZE]; /* "": nothing */
	int64_t generation;	   /* raised by each `primaryctl cluster accept` */
	int64_t format;		   /* of the keys; raised by `primaryctl cluster upgrade` */
	int64_t zxid;		   /* the highest that was seen in this generation; 0: none */
	int64_t change;		   /* the same of the last change of the primary key */
	int64_t epoch;		   /* the highest that was seen; 0: none */
	int64_t own; /* the highest of an own takeover that started work: nobody was to be waited for any more; 0: none */
	int64_t made; /* czxid of the key, as far as a takeover reckoned with it (survivor.h); 0: none */
	char root[IDENTITY_ROOT_SIZE]; /* whose memory it is */
	char name[IDENTITY_NAME_SIZE];
};

/* X(NAME, text): what became of reading the key. */
#define IDENTITY_KEYS(X)                                                                           \
	X(IDENTITY_MISSING, "missing")                                                             \
	X(IDENTITY_JUNK, "junk")                                                                   \
	X(IDENTITY_REFUSED, "cannot be read") /* or not be made */                                 \
	X(IDENTITY_READ, "read")

enum identity_key {
#define X(name, text) name,
	IDENTITY_KEYS(X)
#undef X
};

struct identity_seen {
	enum identity_key key;
	char id[IDENTITY_ID_SIZE]; /* with IDENTITY_READ, as the next two */
	int64_t generation;
	int64_t format;
	int64_t zxid; /* of the ensemble, as of the read; 0: not known */
	/*
	 * The mzxid of the primary key; 0: not known. The zxid of a restored ensemble grows with every session until it is no
	 * lower than that of the lost one; this one stays what it is for as long as nobody claims the role there.
	 */
	int64_t change;
};

enum identity_verdict {
	IDENTITY_KNOWN, /* the one that is remembered */
	IDENTITY_ADOPT, /* nothing is remembered, or the operator accepted another store: identity_take() */
	IDENTITY_MAKE,	  /* the key is to be made, with the remembered id if there is one */
	IDENTITY_FOREIGN, /* no contention, no write: see the reason */
};

/* Why an ensemble is not taken for the known one. */
enum identity_reason {
	IDENTITY_FINE,
	IDENTITY_OTHER_ID,
	IDENTITY_NO_ID, /* in a new session */
	IDENTITY_OLD_GENERATION,
	IDENTITY_OLD_ZXID,
	IDENTITY_BAD_KEY,
	IDENTITY_NO_ACCESS,
	IDENTITY_NEW_FORMAT,
	IDENTITY_REASON_COUNT
};

/* IDENTITY_FORMAT. In a build with fault points a test may let a program know of another one: $PRIMARYD_FORMAT. */
int64_t identity_format_known(void);

/* It was set back, unless its generation was raised. */
bool identity_is_older(const struct identity *known, const struct identity_seen *seen);

/*
 * lives: the ensemble holds a session of this node in which it was known already: it is the same one, and who deleted the
 * key can only have deleted the key. ret_reason: IDENTITY_FINE unless FOREIGN.
 */
enum identity_verdict identity_judge(const struct identity *known, const struct identity_seen *seen,
				     bool lives, enum identity_reason *ret_reason);

/* What the ensemble told beside; of that which is known alone. */
void identity_note_zxid(struct identity *known, int64_t zxid);

/* After KNOWN and ADOPT: remembers what was seen. A raised generation begins the zxid anew. */
void identity_take(struct identity *known, const struct identity_seen *seen);

/* True: it is higher than any before, and remembered; as with the next. Nothing for the file changed otherwise. */
bool identity_note_epoch(struct identity *known, int64_t epoch);
bool identity_note_own(struct identity *known, int64_t epoch);
/* True: another one than before. */
bool identity_note_made(struct identity *known, int64_t czxid);

/* Differs in what is worth a write of the file; a zxid alone is not. */
bool identity_differs(const struct identity *a, const struct identity *b);

/* Whether it is a memory of this root and node. */
bool identity_is_of(const struct identity *known, const char *root, const char *name);

/* One line for people: subject, figures, key, remedy. ret_text[IDENTITY_TEXT_SIZE]; "" for IDENTITY_FINE. Returns it. */
char *identity_explain(enum identity_reason reason, const struct identity *known,
		       const struct identity_seen *seen, const char *servers, char *ret_text);

/* The value of /cluster, `ID GENERATION FORMAT`. ret_text[IDENTITY_VALUE_SIZE]. */
void identity_format_value(const char *id, int64_t generation, int64_t format, char *ret_text);

/* The same the other way: READ or JUNK, in ret_seen->key. */
void identity_parse_value(const char *data, size_t length, struct identity_seen *ret_seen);

/* The file's text, and back: the memory of who is named in it. False: junk. ret_text[IDENTITY_FILE_SIZE]. */
size_t identity_format_file(const struct identity *known, char *ret_text);
bool identity_parse_file(const char *text, size_t length, struct identity *ret_known);
