// SPDX-License-Identifier: Apache-2.0
/*
 * The head scanners as the kernel runs them: does the verifier take them, and do they give for
 * every input what the same header gives when it is compiled for user space.
 *
 *	input -> map -> scan_test.bpf.c (bpf_prog_test_run) -> map  == user space build
 *
 * Arguments: corpus files or directories (first byte as in tests/fuzz/scan.c). -t also prints how
 * long one scan takes.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "core/cleanup.h"
#include "lib/scan.h"
#include "lib/scan_resp.h"
#include "scan_test.skel.h"

struct bench {
	struct scan_test_bpf *skel;
	struct hr_scan *req;
	struct hr_resp *resp;
	unsigned inputs, failed;
};

static void *map_memory(struct bpf_map *map)
{
	size_t page = sysconf(_SC_PAGESIZE), n = bpf_map__value_size(map);
	void *p = mmap(NULL, (n + page - 1) / page * page, PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(map), 0);

	return p == MAP_FAILED ? NULL : p;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, ap) : 0;
}

static int run(struct bpf_program *prog)
{
	char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = packet, .data_size_in = sizeof(packet));

	return bpf_prog_test_run_opts(bpf_program__fd(prog), &o) ?: (int)o.retval;
}

static void differ(struct bench *b, const char *name, const char *what)
{
	printf("FAIL %s: kernel and user space differ in %s\n", name, what);
	b->failed++;
}

/* All that a caller may read: up to the private part. */
static void request(struct bench *b, const char *name, const char *data, size_t n)
{
	static const char find[HR_HNAME_MAX] = "x-user-type";
	static struct hr_scan user;
	size_t from = offsetof(struct hr_scan, why), to = offsetof(struct hr_scan, line);
	int v, found;

	memset(&user, 0, sizeof(user));
	memcpy(user.buf, data, n);
	memset(b->req, 0, sizeof(*b->req));
	memcpy(b->req->buf, data, n);
	b->skel->bss->n = n;
	b->skel->bss->repeat = 1;
	memcpy(b->skel->bss->find_name, find, sizeof(find));
	b->skel->bss->find_len = strlen(find);
	if (run(b->skel->progs.scan_request))
		return differ(b, name, "running at all");
	v = hr_scan_request(&user, n);
	if ((int)b->skel->bss->verdict != v)
		return differ(b, name, "verdict");
	if (memcmp((char *)b->req + from, (char *)&user + from, to - from))
		return differ(b, name, "fields");
	if (v != HR_SCAN_OK)
		return;
	if (memcmp(b->req->line, user.line, user.nlines * sizeof(user.line[0])))
		return differ(b, name, "lines");
	found = hr_scan_find(&user, find, strlen(find));
	if ((int)b->skel->bss->found != found || (found && b->skel->bss->found_index != user.found))
		differ(b, name, "header found");
}

static void response(struct bench *b, const char *name, const char *data, size_t n, bool head)
{
	static struct hr_resp user;
	size_t from = offsetof(struct hr_resp, content_length), to = offsetof(struct hr_resp, odd);

	memset(&user, 0, sizeof(user));
	memcpy(user.buf, data, n);
	memset(b->resp, 0, sizeof(*b->resp));
	memcpy(b->resp->buf, data, n);
	b->skel->bss->n = n;
	b->skel->bss->head_request = head;
	if (run(b->skel->progs.scan_response))
		return differ(b, name, "running at all");
	if ((int)b->skel->bss->verdict != hr_scan_response(&user, n, head))
		return differ(b, name, "verdict");
	if (memcmp((char *)b->resp + from, (char *)&user + from, to - from))
		differ(b, name, "fields");
}

static void one_file(struct bench *b, const char *path)
{
	static char data[HR_KHEAD_MAX + 1];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		differ(b, path, strerror(errno));
		return;
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	if (!n)
		return;
	b->inputs++;
	if (data[0] % 3 == 0)
		request(b, path, data + 1, n - 1);
	else
		response(b, path, data + 1, HR_MIN(n - 1, (size_t)HR_KRESP_MAX), data[0] % 3 == 2);
}

static void each(struct bench *b, const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char sub[4096];

	if (!d)
		return one_file(b, path);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
			one_file(b, sub);
		}
	closedir(d);
}

/* A head of about `size` bytes with lines like a browser's. */
static void timing(struct bench *b, unsigned size)
{
	char head[HR_KHEAD_MAX];
	int n = snprintf(head, sizeof(head),
			 "GET /catalog/item?id=1 HTTP/1.1\r\nHost: shop:8080\r\n");
	uint64_t best = UINT64_MAX;

	for (int i = 0; n + 56 < (int)size; i++)
		n += snprintf(head + n, sizeof(head) - n,
			      "x-header-%02d: some value of the usual length 12345\r\n", i);
	n += snprintf(head + n, sizeof(head) - n, "Accept: */*\r\n\r\n");
	memcpy(b->req->buf, head, n);
	b->skel->bss->n = n;
	b->skel->bss->repeat = 1000;
	for (int i = 0; i < 50; i++) {
		run(b->skel->progs.scan_request);
		best = HR_MIN(best, b->skel->bss->ns);
	}
	printf("  %4d bytes: %llu ns, verdict %u\n", n, (unsigned long long)best / 1000,
	       b->skel->bss->verdict);
}

int main(int argc, char **argv)
{
	struct bench b = {0};

	libbpf_set_print(quiet);
	b.skel = scan_test_bpf__open_and_load();
	if (!b.skel) {
		printf("FAIL the scanners do not load\n");
		return 1;
	}
	b.req = map_memory(b.skel->maps.req);
	b.resp = map_memory(b.skel->maps.resp);
	if (!b.req || !b.resp) {
		perror("mmap");
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-t")) {
			timing(&b, 100);
			timing(&b, 600);
			timing(&b, 1500);
		} else {
			each(&b, argv[i]);
		}
	}
	scan_test_bpf__destroy(b.skel);
	printf("scan_test: %u inputs, %u differ\n", b.inputs, b.failed);
	return b.failed || !b.inputs;
}
