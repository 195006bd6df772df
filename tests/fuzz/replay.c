/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a libFuzzer target over files without libFuzzer: gcc builds it, every test run replays the
 * corpora. Arguments are files or directories; an empty set of inputs is a failure.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t size;

	if (!f || fstat(fileno(f), &st) < 0) {
		perror(path);
		exit(1);
	}
	/* exactly as long as the input: the sanitizer then sees a read behind its end */
	data = malloc(st.st_size ? st.st_size : 1);
	size = data ? fread(data, 1, st.st_size, f) : 0;
	fclose(f);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 1;
}

static int replay(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int n = 0;

	if (!dir)
		return replay_file(path);
	while ((e = readdir(dir))) {
		char sub[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		n += replay_file(sub);
	}
	closedir(dir);
	return n;
}

int main(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++)
		n += replay(argv[i]);
	printf("%s: %d inputs\n", argv[0], n);
	return n ? 0 : 1;
}
