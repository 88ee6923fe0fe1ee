/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram an entry, one
 * FIELD=value line a field. Spoken directly, because sd_journal_sendv() blocks while journald does not
 * read, and a loop that holds a lease must not.
 */

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define ENTRY_SIZE 8192

bool log_journal_is_behind(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uint64_t device, inode;
	struct stat st;

	return stream != NULL && sscanf(stream, "%" SCNu64 ":%" SCNu64, &device, &inode) == 2 &&
	       fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

int log_journal_init(struct log_journal *journal, const char *path)
{
	if (path == NULL)
		path = JOURNAL_SOCKET;
	if (strlen(path) >= sizeof(journal->path))
		return -ENAMETOOLONG;
	(void)strcpy(journal->path, path);
	journal->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return journal->fd >= 0 ? 0 : -errno;
}

void log_journal_finish(struct log_journal *journal)
{
	if (journal->fd >= 0)
		(void)close(journal->fd);
	journal->fd = -1;
}

static size_t add_text(char *entry, size_t n, const char *field, const char *value)
{
	if (value[0] == '\0')
		return n;
	return n + (size_t)snprintf(entry + n, ENTRY_SIZE - n, "%s=%s\n", field, value);
}

static size_t add_number(char *entry, size_t n, const char *field, int64_t value)
{
	if (value == 0)
		return n;
	return n + (size_t)snprintf(entry + n, ENTRY_SIZE - n, "%s=%" PRId64 "\n", field, value);
}

enum log_write log_journal_write(struct log_journal *journal, const struct log_record *record)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char entry[ENTRY_SIZE]; /* a record's bounds are far below: nothing is ever cut */
	size_t n;

	/* By its name each time: journald may have been replaced since. */
	(void)strcpy(address.sun_path, journal->path);
	n = (size_t)snprintf(entry, sizeof(entry), "SYSLOG_IDENTIFIER=primaryd\nPRIORITY=%d\n",
			     log_event_priority(record->event));
	n = add_text(entry, n, "MESSAGE", record->message);
	n = add_text(entry, n, "MESSAGE_ID", log_event_message_id(record->event));
	n = add_text(entry, n, "PRIMARYD_EVENT", log_event_name(record->event));
	n = add_text(entry, n, "PRIMARYD_NODE", record->node);
	n = add_text(entry, n, "PRIMARYD_PRIMARY", record->primary);
	n = add_number(entry, n, "PRIMARYD_EPOCH", record->epoch);
	n = add_text(entry, n, "PRIMARYD_STATE", record->state);
	n = add_text(entry, n, "PRIMARYD_TARGET", record->target);
	n = add_text(entry, n, "PRIMARYD_REASON", record->reason);
	n = add_number(entry, n, "PRIMARYD_USEC", record->usec);
	if (sendto(journal->fd, entry, n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address,
		   sizeof(address)) >= 0)
		return LOG_WRITTEN;
	return errno == EAGAIN || errno == ENOBUFS || errno == EINTR ? LOG_FULL : LOG_ABSENT;
}
