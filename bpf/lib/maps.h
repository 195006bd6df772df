/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map of the data path: the contract with user/kern. Each file of bpf/ includes this one;
 * the definitions are weak and the static linker keeps one of each.
 *
 * "agent" writes through user/kern, "programs" are the BPF side. Values that are replaced as one
 * element are in hashes that are not preallocated, so a reader keeps the old element whole.
 */
#pragma once

#include "lib/conn.h"
#include "lib/kernel.h"

#define HR_MAP(name, map_type, entries, key_type, value_type, flags) \
	struct {                                                     \
		__uint(type, map_type);                              \
		__uint(max_entries, entries);                        \
		__uint(map_flags, flags);                            \
		__type(key, key_type);                               \
		__type(value, value_type);                           \
	} name __weak SEC(".maps")
#define HR_HASH(name, entries, key_type, value_type) \
	HR_MAP(name, BPF_MAP_TYPE_HASH, entries, key_type, value_type, BPF_F_NO_PREALLOC)
#define HR_SHARED_ARRAY(name, entries, value_type) \
	HR_MAP(name, BPF_MAP_TYPE_ARRAY, entries, __u32, value_type, BPF_F_MMAPABLE)
#define HR_PERCPU_ARRAY(name, entries, value_type) \
	HR_MAP(name, BPF_MAP_TYPE_PERCPU_ARRAY, entries, __u32, value_type, 0)
#define HR_STORAGE(name, value_type)                   \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_SK_STORAGE); \
		__uint(map_flags, BPF_F_NO_PREALLOC);  \
		__type(key, int);                      \
		__type(value, value_type);             \
	} name __weak SEC(".maps")

/* ---- Plan: written by the agent only ------------------------------------------------------ */

/* 0 -> kill switch, plan generation. */
HR_MAP(config, BPF_MAP_TYPE_ARRAY, 1, __u32, struct hr_config, 0);
/* Address and port that the mesh owns -> how connect() treats it. */
HR_HASH(vips, HR_VIPS_MAX, struct hr_vip_key, struct hr_vip);
/* For the agent after this one; no program reads it. */
HR_HASH(ids, HR_IDS_MAX, struct hr_id_key, struct hr_id_row);
/* Route id of a TCP route -> clusters by weight. */
HR_HASH(splits, HR_ROUTES_MAX, __u32, struct hr_split);
/* (service port, Host) -> vhost id. */
HR_HASH(vhosts_by_name, HR_VHOSTS_MAX, struct hr_vhost_key, __u32);
/* vhost id -> dimensions and table of its rules. */
HR_HASH(vhosts, HR_VHOSTS_MAX, __u32, struct hr_vhost);
/* (table, block) -> rule sets that hold before any value is looked up. */
HR_HASH(blocks, HR_BLOCK_ROWS_MAX, struct hr_block_key, struct hr_block);
/* (table, block, dimension, value) -> rules with that exact value. */
HR_HASH(conds, HR_CONDS_MAX, struct hr_cond_key, struct hr_cond);
/* (table, block, dimension, prefix) -> union of the rules of this and all shorter prefixes. */
HR_MAP(prefix_conds, BPF_MAP_TYPE_LPM_TRIE, HR_CONDS_MAX, struct hr_prefix_key, struct hr_cond,
       BPF_F_NO_PREALLOC);
/* (table, index) -> what the rule does. */
HR_HASH(rules, HR_RULE_ROWS_MAX, struct hr_rule_key, struct hr_rule);
/* (table, index, destination) -> what is added to the head of its requests. */
HR_HASH(edits, HR_EDITS_MAX, struct hr_edit_key, struct hr_edit);
/* Reply index -> complete HTTP/1.1 response. */
HR_MAP(replies, BPF_MAP_TYPE_ARRAY, HR_REPLIES_MAX, __u32, struct hr_reply, 0);
/* Cluster id -> policy. */
HR_HASH(clusters, HR_CLUSTERS_MAX, __u32, struct hr_cluster);
/* (cluster id, workload) -> cluster id: as the workload sees it. */
HR_HASH(seen, HR_SEEN_MAX, struct hr_seen_key, __u32);
/* (cluster id, addr_id) -> endpoint id; absent when the address is not in the cluster. */
HR_HASH(members, HR_EPS_MAX, struct hr_member_key, __u32);
/* addr_id -> address and port. */
HR_HASH(addrs, HR_EPS_MAX, __u32, struct hr_ep_addr);

/* ---- Shared words: mmap()ed by the agent --------------------------------------------------- */

/* Endpoint id -> in flight, liveness. */
HR_SHARED_ARRAY(ep_rt, HR_EPS_MAX, struct hr_ep_rt);
/* Page -> slots of balancing tables. */
HR_SHARED_ARRAY(slots, HR_SLOT_PAGES, struct hr_slots);
/* Cluster id -> in flight, round robin position, its table in `slots`. */
HR_SHARED_ARRAY(cluster_rt, HR_CLUSTERS_MAX, struct hr_cluster_rt);
/* Index -> statuses that are errors (hr_ep_rt.codes). */
HR_SHARED_ARRAY(error_codes, HR_CODES_MAX, struct hr_codes);
/* U slot -> owner. */
HR_SHARED_ARRAY(u_tab, HR_U_SLOTS, struct hr_u);
/* G slot -> owner. Slots are filled from 0 upwards without holes (a slot that was filled once
 * may be EMPTY again): the search for a free one stops at the end of the run. */
HR_SHARED_ARRAY(g_tab, HR_G_SLOTS, struct hr_g);

/* ---- Counters: written by the programs ----------------------------------------------------- */

/* Route id -> counters. user/kern may shrink max_entries of all three before load. */
HR_PERCPU_ARRAY(route_stats, HR_ROUTES_MAX, struct hr_stats);
/* Endpoint id -> counters. */
HR_PERCPU_ARRAY(ep_stats, HR_EPS_MAX, struct hr_stats);
/* Client workload, endpoint and outcome -> counters of istio_* metrics; user/kern may shrink
 * max_entries, and makes the row of HR_FLAG_OTHER. Preallocated: a first request never fails to be
 * counted for lack of per-CPU memory. Programs enter rows, the agent takes them out. */
HR_MAP(meters, BPF_MAP_TYPE_PERCPU_HASH, HR_METERS_MAX, struct hr_meter_key, struct hr_meter, 0);
/* The same, and a status that has no counter in the row -> how often. */
HR_MAP(odd_codes, BPF_MAP_TYPE_PERCPU_HASH, HR_ODD_CODES_MAX, struct hr_odd_key, __u64, 0);
/* The same rows for opaque connections; those are rare, so changes are atomic. The agent makes the
 * row of HR_FLAG_OTHER. */
HR_MAP(tcp_meters, BPF_MAP_TYPE_HASH, HR_METERS_MAX, struct hr_meter_key, struct hr_tcp_meter, 0);
/* Cookie of C -> what of its bytes is in tcp_meters. Programs only. */
HR_HASH(tallies, HR_CONNS_MAX, __u64, struct tally);
/* enum hr_why -> requests. */
HR_PERCPU_ARRAY(why, HR_WHY_MAX, __u64);

/* ---- Connections and sockets --------------------------------------------------------------- */

/* Cookie of C -> state. Programs only; the agent reads the leading struct hr_conn of the value,
 * and may set HR_CONN_F_DEAD in place (never with a whole-element update). */
HR_HASH(conns, HR_CONNS_MAX, __u64, struct conn);
/* Cookie of C -> the head buffer of its sends. Programs enter it; it goes with the entry in
 * `conns`. No socket storage: the kernel makes 6 KB of that anew, and zeroes it, for each
 * connection, where a hash map uses the memory of the one before. */
HR_HASH(heads, HR_CONNS_MAX, __u64, struct conn_scratch);
/* Any captured socket -> what connect() decided, until it is established; then what it asked
 * for (getpeername). Programs only. */
HR_STORAGE(dials, struct dial);
/* Cookie of C -> C. Programs enter it; the kernel removes it at close. Twice HR_CONNS_MAX: it is
 * never the table that is full. */
HR_MAP(cl_hash, BPF_MAP_TYPE_SOCKHASH, 2 * HR_CONNS_MAX, __u64, __u64, 0);
/* U slot -> U. Agent. */
HR_MAP(u_map, BPF_MAP_TYPE_SOCKMAP, HR_U_SLOTS, __u32, __u64, 0);
/* U slot and G slot -> address of the kernel's socket of U and of g, from which the programs read
 * write_seq: 0 until known. Program `learn` fills them: the agent runs it (BPF_PROG_TEST_RUN) with
 * a struct learn_in after 14 bytes of Ethernet header once the socket is in its map, and before
 * the slot's word says FREE; it writes 0 before it takes the socket out. A U without address is
 * not used. mmap()able. */
HR_SHARED_ARRAY(u_sk, HR_U_SLOTS, __u64);
/* U slot -> address of the server's socket at its other end, when that is on this node and was
 * paired; 0: none. Programs; the agent clears it. mmap()able. */
HR_SHARED_ARRAY(u_peer, HR_U_SLOTS, __u64);
/* Cookie of U -> the server's socket that answered its offer. Programs only. */
HR_HASH(u_pairs, HR_U_SLOTS, __u64, struct u_pair);
HR_SHARED_ARRAY(g_sk, HR_G_SLOTS, __u64);
/* Cookie of U -> its slot. Agent: written before u_map, deleted after. */
HR_HASH(u_slots, HR_U_SLOTS, __u64, __u32);
/* G slot -> g, the end of the loopback pair that C's bytes are redirected to. Agent. No program
 * is attached to this map. */
HR_MAP(g_map, BPF_MAP_TYPE_SOCKMAP, HR_G_SLOTS, __u32, __u64, 0);
/* G slot -> p, the agent's end; sk_msg `inject` sends what the agent writes into C, and into the
 * receive queue of g when C is gone: the agent empties that before it frees the slot. Agent. */
HR_MAP(p_map, BPF_MAP_TYPE_SOCKMAP, HR_G_SLOTS, __u32, __u64, 0);
/* p's socket -> its G slot. Agent: update with the socket's fd as key, before p_map. */
HR_STORAGE(p_store, __u32);
/* (netns, addr_id, how they are kept) -> U slots. Agent. */
HR_HASH(pools, HR_U_SLOTS, struct hr_pool_key, struct hr_pool);

/* Cookie of C -> the timer of its watched requests (lib/watch.h). Programs only. */
HR_HASH(watch_timers, HR_CONNS_MAX, __u64, struct watch_timer);
/* 0 -> ktime ns at which the agent was last seen to live. Agent. mmap()able. */
HR_SHARED_ARRAY(beat, 1, __u64);

/* ---- Same node ----------------------------------------------------------------------------- */

/* C is established, S is about to be: hash of the addresses -> C. Programs only. An array: a
 * connection enters and leaves it at once, for which a hash map takes a microsecond. */
HR_MAP(meets, BPF_MAP_TYPE_ARRAY, HR_PAIR_OFFERS, __u32, struct meet, 0);
/* The same of U: agent. LRU: of connections that leave the node. */
HR_MAP(offers, BPF_MAP_TYPE_LRU_HASH, HR_PAIR_OFFERS, struct hr_pair_key, struct hr_pair_offer, 0);
/* Where heads of answers are read. Programs only. */
HR_MAP(answer_boxes, BPF_MAP_TYPE_ARRAY, ANSWER_BOXES, __u32, struct answer_box, 0);
/* Where a server listens -> enum hr_listener. Programs only. */
HR_MAP(listeners, BPF_MAP_TYPE_LRU_HASH, HR_LISTENERS_MAX, struct hr_listener_key, __u32, 0);
/* Where a server listens, as its clients see it -> enum hr_listener. Programs only. */
HR_MAP(places, BPF_MAP_TYPE_LRU_HASH, HR_LISTENERS_MAX, struct hr_place, __u32, 0);
/* Cookie of C -> S, the server's socket of the same connection. Programs enter it, the kernel
 * removes it at close. */
HR_MAP(s_hash, BPF_MAP_TYPE_SOCKHASH, HR_PAIRS_MAX, __u64, __u64, 0);
/* S -> its client, and where it is in an answer. Programs only. */
HR_STORAGE(serve_store, struct served);
/* enum hr_pair_count -> how many. */
HR_PERCPU_ARRAY(pair_counts, HR_PAIR_COUNTS, __u64);

/* ---- Capture ------------------------------------------------------------------------------- */

/* cgroup id -> who runs there. Agent. */
HR_HASH(workloads, HR_WORKLOADS_MAX, __u64, struct hr_workload);
/* netns cookie -> ports of the agent inside it. Programs enter it not ready (with HR_EV_NETNS),
 * the agent updates it. */
HR_HASH(netns, HR_NETNS_MAX, __u64, struct hr_netns);
/* Cookie of C at door A -> closed, or watched. Programs and agent. LRU: what nobody asks about goes
 * by itself. */
HR_MAP(door_ends, BPF_MAP_TYPE_LRU_HASH, 16384, __u64, struct hr_door_end, 0);
/* DNS of the guests in a namespace. Agent. */
HR_HASH(names, HR_NETNS_MAX, struct hr_names_key, struct hr_names);
/* (netns, local port) -> what a connection sent to door A asked for. Programs enter, the agent
 * takes. LRU: what nobody takes goes by itself. */
HR_MAP(doors, BPF_MAP_TYPE_LRU_HASH, HR_CONNS_MAX, struct hr_door_key, struct hr_door, 0);
/* A socket that was redirected to the agent's DNS -> the server it asked. Programs only. */
HR_STORAGE(dns_orig, struct dns_peer);

/* ---- Events -------------------------------------------------------------------------------- */

/* struct hr_event records. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events __weak SEC(".maps");
/* struct hr_copy records, each with a head. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} copies __weak SEC(".maps");
/* enum hr_mishap -> how often. mmap()able: the agent counts there too. */
HR_SHARED_ARRAY(mishaps, HR_MISHAP_MAX, __u64);
/* struct hr_access_event records: a ring of their own, a flood of them displaces nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} access_events __weak SEC(".maps");
/* 0, 1 -> records that found `events`, `access_events` full. mmap()able. */
HR_SHARED_ARRAY(events_lost, 2, __u64);
