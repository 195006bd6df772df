// SPDX-License-Identifier: Apache-2.0
/* resolv.conf: see resolv.h. */
#include "dns/resolv.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/net.h"
#include "core/str.h"

static void add_server(struct hr_resolv *r, const char *text)
{
	/* addresses with a scope are of links that the client's namespace does not have */
	if (r->nservers < HR_RESOLV_SERVERS && !hr_addr_parse(text, &r->servers[r->nservers]))
		r->nservers++;
}

/* The last search line counts. */
static void set_search(struct hr_resolv *r, char *save)
{
	size_t used = 0;
	char *word;

	r->nsearch = 0;
	while ((word = strtok_r(NULL, " \t\r\n", &save)) && r->nsearch < HR_RESOLV_SEARCH) {
		size_t n = strlen(word);

		while (n && word[n - 1] == '.')
			n--;
		if (!n || used + n + 1 > sizeof(r->text))
			continue;
		for (size_t i = 0; i < n; i++)
			r->text[used + i] = tolower((unsigned char)word[i]);
		r->text[used + n] = 0;
		r->search[r->nsearch++] = r->text + used;
		used += n + 1;
	}
}

static void read_lines(struct hr_resolv *r, FILE *f)
{
	char line[1024], *save, *word;

	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "#;")] = 0;
		word = strtok_r(line, " \t\r\n", &save);
		if (!word)
			continue;
		if (hr_streq(word, "nameserver")) {
			word = strtok_r(NULL, " \t\r\n", &save);
			if (word)
				add_server(r, word);
		} else if (hr_streq(word, "search") || hr_streq(word, "domain")) {
			set_search(r, save);
		}
	}
}

bool hr_resolv_refresh(struct hr_resolv *r, const char *path)
{
	struct stat st;
	FILE *f;

	if (stat(path, &st) < 0 || !st.st_size ||
	    (r->inode == st.st_ino && r->size == st.st_size &&
	     r->mtime.tv_sec == st.st_mtim.tv_sec && r->mtime.tv_nsec == st.st_mtim.tv_nsec))
		return false;
	f = fopen(path, "re");
	if (!f)
		return false;
	r->nservers = r->nsearch = 0;
	read_lines(r, f);
	fclose(f);
	r->mtime = st.st_mtim;
	r->size = st.st_size;
	r->inode = st.st_ino;
	return true;
}
