// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The head scanners as programs of their own: user space puts bytes into the map, runs the program,
 * and compares what it left with what its own build of the same header says.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "lib/scan.h"
#include "lib/scan_resp.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hr_scan);
} req SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hr_resp);
} resp SEC(".maps");

__u32 n, head_request;		   /* in: bytes in the map */
char find_name[HR_HNAME_MAX];	   /* in: header to look for, "" for none */
__u32 find_len, repeat;		   /* in: scans per run, for timing */
__u32 verdict, found, found_index; /* out */
__u64 ns;			   /* out: for all repeats */

SEC("tc")
int scan_request(struct __sk_buff *skb __attribute__((unused)))
{
	__u32 zero = 0;
	struct hr_scan *s = bpf_map_lookup_elem(&req, &zero);
	__u64 t0 = bpf_ktime_get_ns();

	if (!s)
		return -1;
	for (__u32 i = 0; i < 1000 && i < repeat; i++)
		verdict = hr_scan_request(s, n);
	ns = bpf_ktime_get_ns() - t0;
	if (verdict == HR_SCAN_OK && find_len) {
		found = hr_scan_find(s, find_name, find_len);
		found_index = s->found;
	}
	return 0;
}

SEC("tc")
int scan_response(struct __sk_buff *skb __attribute__((unused)))
{
	__u32 zero = 0;
	struct hr_resp *s = bpf_map_lookup_elem(&resp, &zero);

	if (!s)
		return -1;
	verdict = hr_scan_response(s, n, head_request);
	return 0;
}
