/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_NAME DIRECTORY: the target over each file of its corpus, for builds without libFuzzer. Prints how many there
 * were; a broken promise ends it.
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static void run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;

	PROMISE(file && fstat(fileno(file), &st) == 0);
	/* Exactly as large as the file, so that a sanitizer sees a read beyond it. */
	data = malloc((size_t)st.st_size);
	PROMISE(data || st.st_size == 0);
	PROMISE(fread(data, 1, (size_t)st.st_size, file) == (size_t)st.st_size);
	fclose(file);
	(void)LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
	free(data);
}

int main(int argc, char **argv)
{
	struct dirent *entry;
	char path[4096];
	int inputs = 0;
	DIR *dir;

	PROMISE(argc == 2);
	dir = opendir(argv[1]);
	PROMISE(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		PROMISE(snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name) <
			(int)sizeof(path));
		run_file(path);
		inputs++;
	}
	closedir(dir);
	printf("%d inputs\n", inputs);
	return inputs > 0 ? 0 : 1;
}
