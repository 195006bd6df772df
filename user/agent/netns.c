// SPDX-License-Identifier: Apache-2.0
/*
 * Network namespaces of captured processes. Serving one means sockets of ours inside it, and these
 * keep a namespace alive: one in which no captured process was seen for a while is let go.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/cgroup.h"
#include "agent/names.h"
#include "agent/state.h"
#include "core/cleanup.h"
#include "core/log.h"
#include "core/netns.h"
#include "core/vec.h"

#define UNSEEN_MAX 4	  /* sweeps without a process before a namespace is forgotten */
#define K8S_NS_MAX 0xffff /* what fits above HR_WL_K8S_NS_SHIFT */

struct served {
	ino_t ino; /* of the namespace: its name while it lives */
	int nsfd;
	uint64_t cookie;
	unsigned unseen;
	bool home;		 /* the agent's own, never forgotten */
	uint32_t k8s_ns;	 /* whose short names its DNS means */
	HR_VEC(uint32_t) guests; /* other Kubernetes namespaces, each with a DNS of its own */
};

struct hr_netns_table {
	HR_VEC(struct served) list;
	HR_VEC(char *) k8s_names; /* number - 1 -> Kubernetes namespace */
};

struct hr_netns_table *agent_netns_new(void)
{
	struct hr_netns_table *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	return t;
}

void agent_netns_free(struct hr_netns_table *t)
{
	struct served *s;
	char **name;

	if (!t)
		return;
	hr_vec_for_each (s, &t->list) {
		hr_closep(&s->nsfd);
		hr_vec_free(&s->guests);
	}
	hr_vec_for_each (name, &t->k8s_names)
		free(*name);
	hr_vec_free(&t->k8s_names);
	hr_vec_free(&t->list);
	free(t);
}

uint32_t agent_k8s_ns_number(struct hr_netns_table *t, const char *k8s_ns)
{
	char *copy;

	for (uint32_t i = 0; i < t->k8s_names.len; i++)
		if (hr_streq(t->k8s_names.data[i], k8s_ns))
			return i + 1;
	copy = t->k8s_names.len < K8S_NS_MAX ? strdup(k8s_ns) : NULL;
	if (!copy)
		return 0;
	hr_vec_push(&t->k8s_names, copy);
	return (uint32_t)t->k8s_names.len;
}

static int open_ns(int pid, ino_t *ino)
{
	char path[64];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int r = -errno;

		hr_closep(&fd);
		return r;
	}
	*ino = st.st_ino;
	return fd;
}

static struct served *find(struct hr_netns_table *t, ino_t ino)
{
	struct served *s;

	hr_vec_for_each (s, &t->list)
		if (s->ino == ino)
			return s;
	return NULL;
}

static int ask_cookie(void *cookie)
{
	return hr_netns_cookie(cookie);
}

/* The DNS server's handle of a namespace. */
static void *handle(uint64_t cookie)
{
	return (void *)(uintptr_t)cookie;
}

int agent_dns_socket(void *ctx, void *netns, int family, int type)
{
	struct hr_agent *a = ctx;
	struct served *s;

	if (!netns)
		return agent_names_socket(-1, family, type);
	hr_vec_for_each (s, &a->netns->list)
		if (handle(s->cookie) == netns)
			return agent_names_socket(s->nsfd, family, type);
	return -ENOENT;
}

/* Without names a namespace is still served: its processes may know addresses. */
static void serve_names(struct hr_agent *a, int fd, uint64_t cookie, const char *k8s_ns,
			struct hr_netns *ports)
{
	int r = agent_names_serve(a->dns, fd, handle(cookie), k8s_ns, ports);

	if (r < 0)
		hr_warn("no DNS in a namespace: %s", strerror(-r));
}

static int serve(struct hr_agent *a, int pid, int fd, ino_t ino, const char *k8s_ns)
{
	struct hr_netns ports = {};
	uint64_t cookie = 0;
	int r = hr_netns_run(fd, ask_cookie, &cookie);

	if (r < 0)
		return r;
	serve_names(a, fd, cookie, k8s_ns, &ports);
	r = hr_proxy_serve_netns(a->proxy, fd, cookie, &ports);
	if (r < 0) {
		hr_dns_forget(a->dns, handle(cookie));
		return r;
	}
	hr_vec_push(&a->netns->list,
		    (struct served){.ino = ino,
				    .cookie = cookie,
				    .k8s_ns = agent_k8s_ns_number(a->netns, k8s_ns),
				    .nsfd = fcntl(fd, F_DUPFD_CLOEXEC, 3),
				    .home = pid == getpid()});
	hr_debug("namespace %llu of pid %d: doors %u and %u, DNS %u", (unsigned long long)cookie,
		 pid, ports.door_port, ports.door6_port, ports.dns_port);
	return 0;
}

/* A workload of another Kubernetes namespace than the first one there: its short names are others.
 * Without a DNS of its own it has that of the first. */
static void serve_guest(struct hr_agent *a, struct served *s, const char *k8s_ns)
{
	uint32_t number = agent_k8s_ns_number(a->netns, k8s_ns), *known;
	struct hr_netns ports = {};
	struct hr_names v;
	int r;

	if (!number || number == s->k8s_ns)
		return;
	hr_vec_for_each (known, &s->guests)
		if (*known == number)
			return;
	hr_vec_push(&s->guests, number);
	serve_names(a, s->nsfd, s->cookie, k8s_ns, &ports);
	if (!ports.dns_port)
		return;
	v = (struct hr_names){.dns_port = ports.dns_port, .dns6_port = ports.dns6_port};
	r = hr_kern_names_set(a->kern, s->cookie, number, &v);
	if (r < 0)
		hr_warn("no DNS for namespace %s: %s", k8s_ns, strerror(-r));
}

static void forget_names(struct hr_agent *a, struct served *s)
{
	uint32_t *number;

	hr_dns_forget(a->dns, handle(s->cookie));
	hr_vec_for_each (number, &s->guests)
		hr_kern_names_del(a->kern, s->cookie, *number);
	hr_vec_free(&s->guests);
}

int agent_serve_pid(struct hr_agent *a, int pid, const char *k8s_ns, struct hr_strbuf *why)
{
	const char *ns = k8s_ns ? k8s_ns : "default";
	struct served *known;
	ino_t ino = 0;
	_cleanup_close_ int fd = open_ns(pid, &ino);
	int r = fd;

	if (fd >= 0) {
		known = find(a->netns, ino);
		if (known) {
			known->unseen = 0;
			serve_guest(a, known, ns);
		}
		r = known ? 0 : serve(a, pid, fd, ino, ns);
	}
	if (r < 0)
		hr_sb_printf(why, "cannot serve the network namespace of pid %d: %s", pid,
			     strerror(-r));
	return r;
}

/* Kubernetes namespace of the workload a process runs in. */
static const char *workload_ns(struct hr_agent *a, int pid)
{
	_cleanup_free_ char *cgroup = NULL;
	const struct hr_workload_row *row = NULL;

	if (agent_cgroup_of(pid, &cgroup) == 0)
		row = agent_workload_above(a, cgroup);
	return row ? row->ns : NULL;
}

void agent_serve_event(struct hr_agent *a, const struct hr_event *ev)
{
	_cleanup_sb_ struct hr_strbuf why = {};
	struct served *s;

	if (agent_serve_pid(a, (int)ev->pid, workload_ns(a, (int)ev->pid), &why) < 0)
		hr_debug("%s", hr_sb_str(&why));
	hr_vec_for_each (s, &a->netns->list)
		if (s->cookie == ev->netns)
			return;
	/* the process left before we looked: the next one there reports itself again */
	hr_kern_netns_del(a->kern, ev->netns);
}

static void mark_seen(void *ctx, pid_t pid)
{
	struct hr_netns_table *t = ctx;
	struct served *s;
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	if (stat(path, &st) < 0)
		return;
	s = find(t, st.st_ino);
	if (s)
		s->unseen = 0;
}

void agent_netns_sweep(struct hr_agent *a)
{
	struct hr_netns_table *t = a->netns;
	struct served *s;
	size_t kept = 0;

	hr_vec_for_each (s, &t->list)
		s->unseen++;
	hr_list_for_each (n, &a->workloads->rows)
		agent_cgroup_pids(hr_list_entry(n, struct hr_workload_row, node)->cgroup, mark_seen,
				  t);
	hr_vec_for_each (s, &t->list) {
		if (s->home || s->unseen <= UNSEEN_MAX) {
			t->list.data[kept++] = *s;
			continue;
		}
		hr_debug("namespace %llu: no captured process left", (unsigned long long)s->cookie);
		hr_proxy_forget_netns(a->proxy, s->cookie);
		forget_names(a, s);
		hr_closep(&s->nsfd);
	}
	t->list.len = kept;
}
