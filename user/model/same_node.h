/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The annotation headrace.io/same-node of a Service or ServiceEntry: whether bytes between two
 * captured ends of one node may skip TCP.
 *
 *	(not written)	requests of HTTP/1.1 do
 *	off		nothing does
 *	tcp		opaque connections do as well: all ports whose protocol is not HTTP
 *	tcp=6379,pg	the same for these ports only, by number or name
 *
 * Of a Pod it is "off": nothing that its processes send or receive skips TCP.
 */
#pragma once

#include "model/schema.h"

#define HR_SAME_NODE "headrace.io/same-node"

enum hr_same_node { HR_SAME_NODE_HTTP = 0, HR_SAME_NODE_OFF, HR_SAME_NODE_TCP };

/* The annotation, NULL when there is none. */
const struct hr_kv *hr_same_node_kv(const struct hr_meta *m);
/* Whether a Pod says "off", by annotation or label. */
bool hr_same_node_pod_off(const struct hr_meta *pod);
/* What it says of one port. `named`: the port is in its list. */
enum hr_same_node hr_same_node_of(const struct hr_meta *m, const struct hr_port *p, bool *named);
/* While metadata is read: values that are none, kinds on which it says nothing. */
void hr_same_node_check(struct hr_dec *x, const struct hr_ynode *n);
/* Once the ports are known: those that it names and that do not exist. */
void hr_same_node_check_ports(struct hr_dec *x, const struct hr_meta *m, const hr_ports *ports);
