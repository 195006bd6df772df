// SPDX-License-Identifier: Apache-2.0
/*
 * Network namespaces that the proxy serves, and sockets made inside them. A socket belongs for
 * good to the namespace its thread was in when it was made, so threads that run requests never
 * leave the agent's own: one helper thread changes namespace, makes the socket and posts it back.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "core/netns.h"
#include "proxy/internal.h"

/* ---- the helper thread ---- */

static int make_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

/* With the lock held. */
static int nsfd_of(struct hr_proxy *px, uint64_t cookie)
{
	hr_list_for_each (l, &px->netns) {
		struct px_netns *ns = hr_list_entry(l, struct px_netns, link);

		if (ns->cookie == cookie)
			return fcntl(ns->nsfd, F_DUPFD_CLOEXEC, 3);
	}
	return -1;
}

int px_netns_dup(struct hr_proxy *px, uint64_t cookie)
{
	int fd;

	pthread_mutex_lock(&px->ns_lock);
	fd = nsfd_of(px, cookie);
	pthread_mutex_unlock(&px->ns_lock);
	return fd;
}

size_t px_netns_list(struct hr_proxy *px, uint64_t *cookies, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&px->ns_lock);
	hr_list_for_each (l, &px->netns)
		if (n < max)
			cookies[n++] = hr_list_entry(l, struct px_netns, link)->cookie;
	pthread_mutex_unlock(&px->ns_lock);
	return n;
}

/* In the helper thread, which may stay where it is: it only makes sockets. */
static int socket_there(int nsfd, int family)
{
	if (nsfd < 0)
		return -ENOENT;
	if (setns(nsfd, CLONE_NEWNET) < 0)
		return -errno;
	return make_socket(family);
}

static void deliver(void *ctx)
{
	struct px_sock_job *job = ctx;

	px_up_socket(job);
}

/* Requests of a namespace can be here before the main thread has heard of it: they wait. */
#define EARLY_US 1000000
#define EARLY_LOOK_MS 50

/* false: too early. */
static bool serve_job(struct hr_proxy *px, struct px_sock_job *job)
{
	_cleanup_close_ int nsfd = -1;

	nsfd = px_netns_dup(px, job->netns);
	if (nsfd < 0 && px_now_us() < job->since_us + EARLY_US)
		return false;
	job->fd = socket_there(nsfd, job->family);
	if (hr_loop_post(job->w->loop, deliver, job) < 0) {
		hr_err("out of memory: a socket is lost");
		hr_closep(&job->fd);
	}
	return true;
}

/* With the lock held. */
static void enqueue(struct hr_proxy *px, struct px_sock_job *job)
{
	job->next = NULL;
	*px->jobs_tail = job;
	px->jobs_tail = &job->next;
}

/* With the lock held: until there is a job, or a namespace, or time to look at the early ones. */
static void wait_for_work(struct hr_proxy *px)
{
	struct timespec until;

	if (!px->early) {
		pthread_cond_wait(&px->ns_wake, &px->ns_lock);
	} else {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += EARLY_LOOK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&px->ns_wake, &px->ns_lock, &until);
	}
	while (px->early) {
		struct px_sock_job *job = px->early;

		px->early = job->next;
		enqueue(px, job);
	}
}

static void *helper(void *ctx)
{
	struct hr_proxy *px = ctx;

	pthread_mutex_lock(&px->ns_lock);
	while (!px->ns_stop) {
		struct px_sock_job *job = px->jobs;
		bool done;

		if (!job) {
			wait_for_work(px);
			continue;
		}
		px->jobs = job->next;
		if (!px->jobs)
			px->jobs_tail = &px->jobs;
		pthread_mutex_unlock(&px->ns_lock);
		done = serve_job(px, job);
		pthread_mutex_lock(&px->ns_lock);
		if (!done) {
			job->next = px->early;
			px->early = job;
		}
	}
	pthread_mutex_unlock(&px->ns_lock);
	return NULL;
}

void px_netns_job(struct hr_proxy *px, struct px_sock_job *job)
{
	job->since_us = px_now_us();
	pthread_mutex_lock(&px->ns_lock);
	enqueue(px, job);
	pthread_cond_signal(&px->ns_wake);
	pthread_mutex_unlock(&px->ns_lock);
}

/* A thread that takes no signal: they belong to the main thread. */
static int quiet_thread(pthread_t *t, void *(*fn)(void *), void *ctx)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(t, NULL, fn, ctx);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

int px_netns_start(struct hr_proxy *px)
{
	int r;

	pthread_mutex_init(&px->ns_lock, NULL);
	pthread_cond_init(&px->ns_wake, NULL);
	px->jobs_tail = &px->jobs;
	r = quiet_thread(&px->ns_thread, helper, px);
	px->ns_started = !r;
	return r;
}

void px_netns_stop(struct hr_proxy *px)
{
	if (!px->ns_started)
		return;
	pthread_mutex_lock(&px->ns_lock);
	px->ns_stop = true;
	pthread_cond_signal(&px->ns_wake);
	pthread_mutex_unlock(&px->ns_lock);
	pthread_join(px->ns_thread, NULL);
	px->ns_started = false;
}

static void netns_free(struct px_netns *ns)
{
	hr_list_del(&ns->link);
	hr_closep(&ns->nsfd);
	free(ns);
}

static void free_jobs(struct px_sock_job *job)
{
	while (job) {
		struct px_sock_job *next = job->next;

		free(job);
		job = next;
	}
}

void px_netns_free(struct hr_proxy *px)
{
	while (!hr_list_empty(&px->netns))
		netns_free(hr_list_entry(px->netns.next, struct px_netns, link));
	free_jobs(px->jobs);
	free_jobs(px->early);
	if (px->jobs_tail) {
		pthread_mutex_destroy(&px->ns_lock);
		pthread_cond_destroy(&px->ns_wake);
	}
}

/* ---- doors ---- */

struct doors {
	unsigned n; /* workers */
	uint16_t port[2];
	int fd[2][HR_WORKERS_MAX]; /* IPv4, IPv6; -1 where there is none */
	struct hr_addr home[2];	   /* where its connections come from; zero: not known */
};

static int lo_up(void)
{
	_cleanup_close_ int fd = make_socket(AF_INET);
	struct ifreq ifr = {.ifr_name = "lo"};

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	if (ifr.ifr_flags & IFF_UP)
		return 0;
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		return -errno;
	hr_info("the loopback interface of a namespace was down: set up, the doors need it");
	return 0;
}

/* One listening socket at the loopback address; *port 0: any, gets the one chosen. */
static int door_socket(int family, uint16_t *port)
{
	struct sockaddr_in a4 = {.sin_family = AF_INET,
				 .sin_port = htons(*port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6,
				  .sin6_port = htons(*port),
				  .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr *sa = family == AF_INET ? (void *)&a4 : (void *)&a6;
	socklen_t n = family == AF_INET ? sizeof(a4) : sizeof(a6);
	_cleanup_close_ int fd = make_socket(family);
	int one = 1;

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
	    (family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
	    bind(fd, sa, n) < 0 || listen(fd, SOMAXCONN) < 0 || getsockname(fd, sa, &n) < 0)
		return -errno;
	*port = ntohs(family == AF_INET ? a4.sin_port : a6.sin6_port);
	return TAKE_FD(fd);
}

static void doors_close(struct doors *d)
{
	for (unsigned f = 0; f < 2; f++)
		for (unsigned i = 0; i < d->n; i++)
			hr_closep(&d->fd[f][i]);
}

static int doors_open(void *ctx)
{
	static const int families[2] = {AF_INET, AF_INET6};
	struct doors *d = ctx;
	int r = lo_up();

	if (r)
		hr_warn("cannot set the loopback interface up: %s", strerror(-r));
	hr_netns_home(d->home);
	for (unsigned f = 0; f < 2; f++) {
		for (unsigned i = 0; i < d->n; i++) {
			r = door_socket(families[f], &d->port[f]);
			if (r < 0 && f == 0)
				return r;
			if (r < 0) { /* no IPv6 there */
				d->port[f] = 0;
				break;
			}
			d->fd[f][i] = r;
		}
	}
	return 0;
}

static int netns_cookie_fn(void *ctx)
{
	*(uint64_t *)ctx = px_own_netns();
	return *(uint64_t *)ctx ? 0 : -ENOENT;
}

static struct px_netns *netns_find(struct hr_proxy *px, uint64_t cookie)
{
	hr_list_for_each (l, &px->netns) {
		struct px_netns *ns = hr_list_entry(l, struct px_netns, link);

		if (ns->cookie == cookie)
			return ns;
	}
	return NULL;
}

static int netns_add(struct hr_proxy *px, int nsfd, uint64_t cookie, const struct hr_netns *ports)
{
	struct px_netns *ns = calloc(1, sizeof(*ns));

	if (!ns)
		return -ENOMEM;
	ns->nsfd = fcntl(nsfd, F_DUPFD_CLOEXEC, 3);
	if (ns->nsfd < 0) {
		free(ns);
		return -errno;
	}
	ns->cookie = cookie;
	ns->ports = *ports;
	pthread_mutex_lock(&px->ns_lock);
	hr_list_add_tail(&px->netns, &ns->link);
	pthread_cond_signal(&px->ns_wake);
	pthread_mutex_unlock(&px->ns_lock);
	return 0;
}

int hr_proxy_serve_netns(struct hr_proxy *px, int nsfd, uint64_t cookie, struct hr_netns *ports)
{
	struct doors d = {.n = px->n_serving};
	struct px_netns *ns = netns_find(px, cookie);
	uint64_t real = 0;
	int r;

	if (ns) {
		ports->door_port = ns->ports.door_port;
		ports->door6_port = ns->ports.door6_port;
		return 0;
	}
	memset(d.fd, 0xff, sizeof(d.fd));
	r = hr_netns_run(nsfd, netns_cookie_fn, &real);
	if (!r && real != cookie)
		r = -ESTALE; /* the process left, its number belongs to another */
	if (!r)
		r = hr_netns_run(nsfd, doors_open, &d);
	if (!r) {
		ports->door_port = d.port[0];
		ports->door6_port = d.port[1];
		r = netns_add(px, nsfd, cookie, ports);
	}
	if (r) {
		doors_close(&d);
		return r;
	}
	for (unsigned i = 0; i < px->n_serving; i++) {
		px_worker_add_door(&px->workers[i], TAKE_FD(d.fd[0][i]), AF_INET, cookie, d.home);
		px_worker_add_door(&px->workers[i], TAKE_FD(d.fd[1][i]), AF_INET6, cookie, d.home);
	}
	ports->ready = 1;
	if (px->opts.kern)
		r = hr_kern_netns_set(px->opts.kern, cookie, ports);
	if (r)
		hr_proxy_forget_netns(px, cookie);
	else if (px->holder)
		px_upool_netns(px);
	return r;
}

void hr_proxy_forget_netns(struct hr_proxy *px, uint64_t cookie)
{
	struct px_netns *ns = netns_find(px, cookie);

	if (!ns)
		return;
	if (px->opts.kern)
		hr_kern_netns_del(px->opts.kern, cookie);
	for (unsigned i = 0; i < px->n_serving; i++)
		px_worker_drop_doors(&px->workers[i], cookie);
	pthread_mutex_lock(&px->ns_lock);
	netns_free(ns);
	pthread_mutex_unlock(&px->ns_lock);
	if (px->holder)
		px_upool_netns(px);
}
