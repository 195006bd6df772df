/* SPDX-License-Identifier: Apache-2.0 */
/* Capture, as the rest of this room uses it. */
#pragma once

#include <stdint.h>

struct bpf_link;
struct capture;
struct hr_kern;

/* Puts our programs into the links that are pinned, and remembers their cgroups. Gives how many
 * cgroups there are. */
int kern_adopt_captures(struct hr_kern *k);
void kern_detach_all(struct hr_kern *k);
void kern_drop_link(struct bpf_link *l);

/* ---- leaving.c */
/* Takes over the links of a capture: those of connect() go at once, the others with the last
 * connection of the workload. */
void kern_leaving_start(struct hr_kern *k, struct capture *c);
/* The cgroup is captured again: its programs watch the connections, as before. */
void kern_leaving_cancel(struct hr_kern *k, uint64_t cgroup_id);
void kern_leaving_tick(struct hr_kern *k);
void kern_leaving_end(struct hr_kern *k);
