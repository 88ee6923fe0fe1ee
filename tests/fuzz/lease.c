/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/boot.h"
#include "guard/lease_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT "00000000-0000-4000-8000-000000000000"

/* Behind the fixed text it says which file it is. */
#define SELF_AT (16 + 40)

/* That it is this very one, so that what stands behind it is looked at. */
static void sign(const char *path, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	uint64_t self[2];
	struct stat st;

	PROMISE(fd >= 0 && fstat(fd, &st) == 0);
	self[0] = st.st_dev;
	self[1] = st.st_ino;
	PROMISE(size < SELF_AT + sizeof(self) ||
		pwrite(fd, self, sizeof(self), SELF_AT) == (ssize_t)sizeof(self));
	close(fd);
}

/* The lease file as the guard and the next daemon find it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *directory = fuzz_file("lease", data, size);
	char boot_id[BOOT_ID_SIZE] = BOOT, message[256] = "", path[160];
	struct lease_file *file = NULL;
	uint64_t before;
	int r;

	snprintf(path, sizeof(path), "%s/lease", directory);
	sign(path, size);
	r = lease_file_attach(directory, boot_id, &file);
	PROMISE(r == 0 || r == LEASE_FILE_DAMAGED);
	if (r == 0) {
		(void)lease_file_end_us(file);
		(void)lease_file_epoch(file);
		(void)lease_file_generation(file);
		PROMISE(!lease_file_is_damaged(file));
		PROMISE(lease_file_mark(file) <= LEASE_STOPPED);
		for (int i = 0; i < LEASE_GROUP_COUNT; i++)
			(void)lease_file_group(file, (enum lease_group)i);
		file = lease_file_close(file);
	}
	r = lease_file_open(directory, boot_id, &file, message, sizeof(message));
	PROMISE(r == 0 || r == LEASE_FILE_DAMAGED);
	PROMISE(file && (r == 0 || (*message && !lease_file_end_us(file))));
	before = lease_file_generation(file);
	r = lease_file_raise(file, directory, 7);
	PROMISE(r == 0 && lease_file_generation(file) != before);
	/* Cut, it says what was known last, and is as good as new once it is disarmed. */
	PROMISE(lease_file_set(file, 1000) || lease_file_mark(file) != LEASE_WATCHED);
	PROMISE(truncate(path, (off_t)(size % 100)) == 0);
	PROMISE(lease_file_is_damaged(file) && lease_file_end_us(file) == 1000);
	lease_file_disarm(file);
	PROMISE(!lease_file_is_damaged(file) && !lease_file_end_us(file));
	lease_file_close(file);
	return 0;
}
