/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the rig share. */
#pragma once

#include "gen/headrace.skel.h"
#include "rig.h"

extern struct headrace_bpf *rig_skel;
extern struct hr_u *rig_u;
extern struct hr_g *rig_g;
extern struct hr_ep_rt *rig_ep_rt;
extern struct hr_cluster_rt *rig_cluster_rt;
extern uint64_t rig_netns;
extern uint64_t *rig_beat_at;

void rig_leave_cgroup(void);
int rig_listen(int family, uint16_t *port);
bool rig_send(int fd, const void *buf, size_t len);
long rig_read_request(int fd, char *buf, size_t size, size_t *kept);
/* A server on loopback; *port 0 picks one. */
int rig_serve(int ep, int family, uint16_t *port);
int rig_serve_dns(int family, uint16_t *port);
/* Fills G slots and the pools to both endpoints, starts the threads. */
int rig_agent_start(const uint16_t port[2]);
