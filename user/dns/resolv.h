/* SPDX-License-Identifier: Apache-2.0 */
/* resolv.conf: which resolvers, which search domains (resolv.conf(5); options are not followed). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "headrace/abi.h"

#define HR_RESOLV_SERVERS 3 /* MAXNS of libc */
#define HR_RESOLV_SEARCH 6

struct hr_resolv {
	size_t nservers, nsearch;
	struct hr_addr servers[HR_RESOLV_SERVERS];
	const char *search[HR_RESOLV_SEARCH]; /* lower case, no dot at either end */
	char text[1024];		      /* of search[] */
	/* identity of the file that was read */
	struct timespec mtime;
	long long size;
	unsigned long long inode;
};

/* Reads the file when it is not the one read before; a file that cannot be read, or is empty for a
 * moment, leaves what was. True when it changed. */
bool hr_resolv_refresh(struct hr_resolv *r, const char *path);
