/* SPDX-License-Identifier: Apache-2.0 */
/* The running agent: sources -> plan -> kernel and proxy, capture, control, and their end. */
#pragma once

#include "core/str.h"
#include "kern/kern.h"

struct hr_agent_opts {
	const char *const *paths; /* -f, in order */
	size_t n_paths;
	const char *socket, *store_dir, *pin_dir /* NULL: default */, *cluster_domain;
	const char *locality, *node; /* of the clients, NULL: not known */
	const char *metrics;	     /* "ADDR:PORT", NULL: none */
	bool metrics_required;	     /* it was asked for by name: a taken port is an error */
	const char *access_log;	     /* path, "-", NULL: none */
	uint32_t access_every;	     /* and of the kernel's requests one in so many, 0: none */
	enum hr_datapath datapath;
	bool registry_only, verbose;
	bool lenient; /* known slips of policies are only warnings */
	unsigned workers, drain_s;
};

/* Runs until SIGTERM or SIGINT, then drains and removes everything. 0, or -errno with one sentence
 * (or the findings of the first read, a line each) in *err. */
int hr_agent_run(const struct hr_agent_opts *o, struct hr_strbuf *err);

/* Where the agent of a pin directory (NULL: default) notes its captured cgroups, so that a killed
 * one's successor finds them; malloc'ed. */
char *hr_agent_state_path(const char *pin_dir);
