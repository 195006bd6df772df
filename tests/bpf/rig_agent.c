/* SPDX-License-Identifier: Apache-2.0 */
/* The least of an agent: answers what is bound, relays what U cannot deliver, replaces dirty U. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/peek.h"
#include "rig_internal.h"

#define MAP(name) bpf_map__fd(rig_skel->maps.name)

static int p_fd[RIG_G], g_fd[RIG_G], u_fd[2 * RIG_U];
static uint16_t server_port[2];

static bool word_swap(__u64 *word, __u64 from, __u64 to)
{
	return __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

static int learn(uint32_t slot, uint32_t is_g)
{
	struct {
		unsigned char ethernet[14];
		uint32_t slot, is_g;
	} __attribute__((packed)) packet = {.slot = slot, .is_g = is_g};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &packet, .data_size_in = sizeof(packet));

	if (bpf_prog_test_run_opts(bpf_program__fd(rig_skel->progs.learn), &opts))
		return -errno;
	return opts.retval ? -ENOENT : 0;
}

static int put(int map, uint32_t slot, int fd)
{
	uint64_t v = fd;

	return bpf_map_update_elem(map, &slot, &v, BPF_ANY);
}

/* As hr_kern_u_offer. */
static void offer(int fd, uint16_t port)
{
	struct hr_pair_key key = {.s_ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1},
				  .s_port = port};
	struct hr_pair_offer o = {.kind = HR_OFFER_POOL};
	struct sockaddr_in own = {.sin_family = AF_INET};
	socklen_t len = sizeof(own), n = sizeof(o.conn);

	bind(fd, (void *)&own, len);
	getsockname(fd, (void *)&own, &len);
	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &o.conn, &n);
	key.c_port = ntohs(own.sin_port);
	bpf_map_update_elem(MAP(offers), &key, &o, BPF_ANY);
}

static int dial(uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (rig_near)
		offer(fd, port);
	return connect(fd, (void *)&to, sizeof(to)) ? -1 : fd;
}

static struct hr_peek peek(uint64_t conn)
{
	struct hr_peek p = {.cookie = conn};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &p, .ctx_size_in = sizeof(p));

	if (bpf_prog_test_run_opts(bpf_program__fd(rig_skel->progs.peek_conn), &opts) ||
	    opts.retval == PEEK_GONE)
		p.quiet = p.drained = 1;
	return p;
}

/* ---- G --------------------------------------------------------------------------------------- */

struct bound {
	uint32_t slot;
	uint64_t consumed;
	char buf[1 << 20];
	size_t n;
};

/* A client that is gone: what it had put into g is thrown away. */
static void forget(struct bound *b)
{
	struct hr_g *g = &rig_g[b->slot];
	char sink[4096];
	uint64_t word;

	usleep(20000);
	while (recv(p_fd[b->slot], sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
	while (recv(g_fd[b->slot], sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
	word = g->word;
	if (HR_G_STATE(word) == HR_G_BOUND)
		word_swap(&g->word, word, HR_G_WORD(HR_G_FREE, HR_G_GEN(word) + 1, 0));
	b->n = b->consumed = 0;
}

/* Bytes of the first request in the buffer, 0 when it is not whole. */
static size_t request_len(struct bound *b, size_t *body)
{
	char *end, *cl, *te;

	b->buf[b->n] = 0;
	end = strstr(b->buf, "\r\n\r\n");
	if (!end)
		return 0;
	end += 4;
	cl = strcasestr(b->buf, "\r\ncontent-length:");
	te = strcasestr(b->buf, "\r\ntransfer-encoding: chunked");
	*body = 0;
	if (te && te < end) {
		te = strstr(end, "0\r\n\r\n");
		return te ? te + 5 - b->buf : 0;
	}
	if (cl && cl < end)
		*body = strtoul(cl + 17, NULL, 10);
	return b->n >= end - b->buf + *body ? end - b->buf + *body : 0;
}

/* Writes for a client that has left, as an agent does that has not heard of it yet, more than both
 * sockets of the pair hold. */
static void flood(const struct bound *b)
{
	static const char junk[65536];

	while (!(rig_g[b->slot].flags & HR_G_CLIENT_GONE))
		usleep(500);
	for (int i = 0; i < 512; i++)
		if (send(p_fd[b->slot], junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
}

static void answer(struct bound *b, size_t body)
{
	struct hr_g *g = &rig_g[b->slot];
	char method[16] = "", path[256] = "", text[512], head[1024];

	sscanf(b->buf, "%15s %255s", method, path);
	if (!strcmp(path, "/flood")) {
		flood(b);
		return;
	}
	while ((g->flags & HR_G_WAIT_NATIVE) && !(g->flags & HR_G_CLIENT_GONE) &&
	       !peek(g->conn).quiet)
		usleep(500);
	snprintf(text, sizeof(text), "agent %s %s %zu", method, path, body);
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(text), text);
	if (!rig_send(p_fd[b->slot], head, strlen(head)))
		fprintf(stderr, "rig: inject into slot %u: %s\n", b->slot, strerror(errno));
}

static void release(struct bound *b)
{
	struct hr_g *g = &rig_g[b->slot];
	uint64_t word = g->word, mine = HR_G_WORD(HR_G_BOUND, HR_G_GEN(word), b->consumed);

	if (b->n || !word_swap(&g->word, mine, HR_G_WORD(HR_G_FREE, HR_G_GEN(word) + 1, 0)))
		return;
	b->consumed = 0;
}

/* Plays back whatever is bound to a slot, one client after another. */
static void *g_loop(void *arg)
{
	struct bound *b = arg;
	struct hr_g *g = &rig_g[b->slot];

	for (;;) {
		struct pollfd pfd = {.fd = p_fd[b->slot], .events = POLLIN};
		size_t len, body;
		ssize_t r = 0;

		if (poll(&pfd, 1, 10) > 0)
			r = recv(pfd.fd, b->buf + b->n, sizeof(b->buf) - 1 - b->n, 0);
		if (HR_G_STATE(g->word) == HR_G_BOUND && (g->flags & HR_G_CLIENT_GONE)) {
			forget(b);
			continue;
		}
		if (r > 0) {
			b->n += r;
			b->consumed += r;
		}
		while (b->n && (len = request_len(b, &body))) {
			answer(b, body);
			b->n -= len;
			memmove(b->buf, b->buf + len, b->n);
		}
		if (!b->n && b->consumed)
			release(b);
	}
	return NULL;
}

static int g_put(uint32_t slot)
{
	uint16_t port = 0;
	int l = rig_listen(AF_INET, &port), on = 1;
	pthread_t t;
	struct bound *b = calloc(1, sizeof(*b));

	if (l < 0)
		return -1;
	g_fd[slot] = dial(port);
	p_fd[slot] = accept(l, NULL, NULL);
	close(l);
	setsockopt(p_fd[slot], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	b->slot = slot;
	if (bpf_map_update_elem(MAP(p_store), &p_fd[slot], &slot, BPF_ANY) ||
	    put(MAP(p_map), slot, p_fd[slot]) || put(MAP(g_map), slot, g_fd[slot]) ||
	    learn(slot, 1))
		return -1;
	__atomic_store_n(&rig_g[slot].word, HR_G_WORD(HR_G_FREE, 1, 0), __ATOMIC_RELEASE);
	return pthread_create(&t, NULL, g_loop, b) ? -1 : pthread_detach(t);
}

/* ---- U --------------------------------------------------------------------------------------- */

static int u_put(uint32_t slot)
{
	struct hr_u *u = &rig_u[slot];
	uint32_t which = slot / HR_U_CHUNK, gen = HR_WORD_GEN(u->word) + 1;
	uint32_t at = which * RIG_U + slot % HR_U_CHUNK;
	socklen_t len = sizeof(u->cookie);

	u_fd[at] = dial(server_port[which]);
	if (u_fd[at] < 0 || getsockopt(u_fd[at], SOL_SOCKET, SO_COOKIE, &u->cookie, &len))
		return -1;
	u->addr_id = which + 1;
	u->uses = HR_U_ANY;
	if (bpf_map_update_elem(MAP(u_slots), &u->cookie, &slot, BPF_ANY) ||
	    put(MAP(u_map), slot, u_fd[at]) || learn(slot, 0))
		return -1;
	__atomic_store_n(&u->word, HR_WORD(HR_U_FREE, gen), __ATOMIC_RELEASE);
	return 0;
}

static int *u_fd_of(uint32_t slot)
{
	return &u_fd[slot / HR_U_CHUNK * RIG_U + slot % HR_U_CHUNK];
}

static void u_replace(uint32_t slot)
{
	struct hr_u *u = &rig_u[slot];
	uint64_t zero = 0;

	bpf_map_update_elem(MAP(u_sk), &slot, &zero, BPF_ANY);
	bpf_map_delete_elem(MAP(u_map), &slot);
	bpf_map_delete_elem(MAP(u_slots), &u->cookie);
	close(*u_fd_of(slot));
	u->word = HR_WORD(HR_U_EMPTY, HR_WORD_GEN(u->word));
	if (u_put(slot))
		fprintf(stderr, "rig: cannot replace U %u\n", slot);
}

/* A blocking recv() on a socket in a sockmap gives EAGAIN when it is woken for nothing (DESIGN trap
 * 22): poll is sound. */
static ssize_t recv_wait(int fd, void *buf, size_t size)
{
	ssize_t r;

	while ((r = recv(fd, buf, size, MSG_DONTWAIT)) < 0 && errno == EAGAIN) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		poll(&p, 1, 1000);
	}
	return r;
}

/* Where an answer of the rig's servers ends, 0 when that is not known yet. */
static size_t answer_len(const char *buf, size_t n)
{
	const char *end = strstr(buf, "\r\n\r\n"), *cl = strstr(buf, "Content-Length: ");

	if (end && cl && cl < end)
		return strtoul(cl + 16, NULL, 10) + (end + 4 - buf);
	return n > 5 && !memcmp(buf + n - 5, "1\r\n\r\n", 5) ? n : 0; /* last trailer */
}

/* Copies what is left of an answer; 0: all of it. */
static void pump(int from, int to, uint64_t left)
{
	static char buf[4 << 20];
	size_t n = 0;
	ssize_t r;

	while ((r = recv_wait(from, buf + n, sizeof(buf) - 1 - n)) > 0) {
		if (!rig_send(to, buf + n, r))
			return;
		n += r;
		buf[n] = 0;
		if (!left)
			left = answer_len(buf, n);
		if (left && n >= left)
			return;
	}
}

/* Binds a free G slot to the client by the agent's own will, to inject. */
static uint32_t lend(uint64_t conn, uint64_t *bound)
{
	uint64_t word = 0;
	uint32_t slot;

	for (slot = 0; slot < RIG_G; slot++) {
		word = rig_g[slot].word;
		if (HR_G_STATE(word) == HR_G_FREE &&
		    word_swap(&rig_g[slot].word, word, HR_G_WORD(HR_G_BOUND, HR_G_GEN(word), 0)))
			break;
	}
	rig_g[slot].flags = 0;
	__atomic_store_n(&rig_g[slot].conn, conn, __ATOMIC_RELEASE);
	*bound = word;
	return slot;
}

static void take_back(uint32_t slot, uint64_t word)
{
	rig_g[slot].word = HR_G_WORD(HR_G_FREE, HR_G_GEN(word) + 1, 0);
}

static void relay(const struct hr_event *ev)
{
	struct hr_u *u = &rig_u[ev->slot];
	uint64_t word;
	uint32_t slot = lend(ev->conn, &word);

	if (u->left)
		while (!peek(ev->conn).drained)
			usleep(500);
	pump(*u_fd_of(ev->slot), p_fd[slot], u->left);
	__atomic_fetch_sub(&rig_ep_rt[u->ep].inflight.by.agent, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&rig_cluster_rt[u->cluster].inflight.by.agent, 1, __ATOMIC_SEQ_CST);
	take_back(slot, word);
	u->word = HR_WORD(HR_U_DEAD, ev->gen);
	u_replace(ev->slot);
}

static void answer_for(const struct hr_event *ev)
{
	static const char reply[] = "HTTP/1.1 503 X\r\nContent-Length: 4\r\n\r\nlost";
	uint64_t word;
	uint32_t slot = lend(ev->conn, &word);

	rig_send(p_fd[slot], reply, sizeof(reply) - 1);
	take_back(slot, word);
}

static _Atomic int taken_n;
static _Atomic int *ended_n; /* tests run in processes of their own */

int rig_ended(void)
{
	return *ended_n;
}

int rig_taken(void)
{
	return taken_n;
}

static void answered(uint64_t conn)
{
	struct hr_peek p = {.cookie = conn};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &p, .ctx_size_in = sizeof(p));

	bpf_prog_test_run_opts(bpf_program__fd(rig_skel->progs.peek_owes), &opts);
}

/* The head of the request, as the agent would send it again. */
static void head_of(uint64_t conn, char *out, size_t size)
{
	struct {
		unsigned char ethernet[14];
		struct {
			uint64_t cookie;
			uint32_t what, from, len, pad;
		} in;
		char bytes[2048];
	} __attribute__((packed)) packet = {.in.cookie = conn};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &packet, .data_size_in = sizeof(packet),
		    .data_out = &packet, .data_size_out = sizeof(packet));

	*out = 0;
	if (bpf_prog_test_run_opts(bpf_program__fd(rig_skel->progs.bytes_of), &opts) ||
	    opts.retval || packet.in.len >= sizeof(packet.bytes))
		return;
	packet.bytes[packet.in.len] = 0;
	snprintf(out, size, "%.*s", (int)strcspn(packet.bytes, "\r"), packet.bytes);
}

static void taken(const struct hr_event *ev)
{
	static const char *const word[] = {"", "lost", "late", "late", "again", "cut"};
	static const int status[] = {0, 503, 504, 504, 200, 0};
	char line[300], text[400], reply[600];
	uint64_t word_before;
	uint32_t slot;

	head_of(ev->conn, line, sizeof(line));
	snprintf(text, sizeof(text), "%s %s %llu", word[ev->why], line,
		 (unsigned long long)ev->bytes);
	snprintf(reply, sizeof(reply), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s",
		 status[ev->why], strlen(text), text);
	usleep(5000); /* as long as a try elsewhere may take: what comes meanwhile must wait */
	slot = lend(ev->conn, &word_before);
	while (!peek(ev->conn).drained)
		usleep(500);
	rig_send(p_fd[slot], reply, strlen(reply));
	take_back(slot, word_before);
	answered(ev->conn);
	__atomic_fetch_sub(&rig_ep_rt[ev->ep].inflight.by.agent, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&rig_cluster_rt[ev->cluster].inflight.by.agent, 1, __ATOMIC_SEQ_CST);
	if (ev->slot < HR_U_SLOTS)
		u_replace(ev->slot);
	taken_n++;
}

static int on_event(void *ctx, void *data, size_t size)
{
	const struct hr_event *ev = data;

	(void)ctx, (void)size;
	if (ev->kind == HR_EV_RELAY)
		relay(ev);
	else if (ev->kind == HR_EV_TAKEN)
		taken(ev);
	else if (ev->kind == HR_EV_END && ev->status)
		answer_for(ev);
	else if (ev->kind == HR_EV_END)
		(*ended_n)++;
	else if (ev->kind == HR_EV_U_DIRTY && HR_WORD_STATE(rig_u[ev->slot].word) == HR_U_DEAD)
		u_replace(ev->slot);
	return 0;
}

static void *event_loop(void *arg)
{
	struct ring_buffer *rb = ring_buffer__new(MAP(events), on_event, NULL, NULL);

	(void)arg;
	while (rb)
		ring_buffer__poll(rb, 100);
	return NULL;
}

int rig_agent_start(const uint16_t port[2])
{
	pthread_t t;

	memcpy(server_port, port, sizeof(server_port));
	ended_n = mmap(NULL, sizeof(*ended_n), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (ended_n == MAP_FAILED)
		return -1;
	for (uint32_t i = 0; i < RIG_G; i++)
		if (g_put(i))
			return -1;
	for (uint32_t which = 0; which < 2; which++) {
		struct hr_pool_key key = {.netns = rig_netns, .addr_id = which + 1};
		struct hr_pool pool = {.nchunks = 1, .chunk = {which * HR_U_CHUNK}};

		for (uint32_t i = 0; i < RIG_U; i++)
			if (u_put(which * HR_U_CHUNK + i))
				return -1;
		if (bpf_map_update_elem(MAP(pools), &key, &pool, BPF_ANY))
			return -1;
	}
	return pthread_create(&t, NULL, event_loop, NULL) ? -1 : pthread_detach(t);
}
