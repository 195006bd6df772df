// SPDX-License-Identifier: Apache-2.0
// headrace run: options -> the agent.
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "cli/term.h"
#include "cli/verbs.h"
#include "core/log.h"
#include "headrace/limits.h"

#define METRICS_DEFAULT "127.0.0.1:15020"

/* CPUs that this process may use: fewer than the machine has in a container. */
static unsigned usable_cpus(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return n < 1 ? 1 : n > HR_WORKERS_MAX ? HR_WORKERS_MAX : (unsigned)n;
}

static enum hr_datapath read_datapath(const struct hr_args *a)
{
	const char *mode = hr_arg_str(a, "datapath", "auto");

	if (hr_streq(mode, "kernel"))
		return HR_DATAPATH_KERNEL;
	return hr_streq(mode, "agent") ? HR_DATAPATH_AGENT : HR_DATAPATH_AUTO;
}

static void read_options(const struct hr_args *a, struct hr_agent_opts *o)
{
	const char *metrics = hr_arg_str(a, "metrics", NULL);

	o->n_paths = hr_arg_list(a, "file", &o->paths);
	o->socket = a->socket;
	o->store_dir = hr_arg_str(a, "store", "/var/lib/headrace");
	o->pin_dir = hr_arg_str(a, "pins", NULL);
	o->cluster_domain = hr_arg_str(a, "cluster-domain", "cluster.local");
	o->registry_only = hr_streq(hr_arg_str(a, "outbound", "allow-any"), "registry-only");
	o->locality = hr_arg_str(a, "locality", NULL);
	o->node = hr_arg_str(a, "node", getenv("NODE_NAME"));
	o->metrics_required = metrics != NULL;
	o->metrics = metrics ? metrics : METRICS_DEFAULT;
	if (hr_streq(o->metrics, "off"))
		o->metrics = NULL;
	o->access_log = hr_arg_str(a, "access-log", NULL);
	o->access_every = o->access_log ? (uint32_t)hr_arg_uint(a, "access-log-sample", 100) : 0;
	o->datapath = read_datapath(a);
	o->verbose = hr_arg_flag(a, "verbose");
	o->lenient = hr_arg_flag(a, "lenient");
	o->workers = (unsigned)hr_arg_uint(a, "workers", usable_cpus());
	o->drain_s = (unsigned)hr_arg_uint(a, "drain", 10);
}

int hr_verb_run(const struct hr_args *a)
{
	_cleanup_sb_ struct hr_strbuf err = {};
	struct hr_agent_opts o = {};

	read_options(a, &o);
	if (o.workers < 1 || o.workers > HR_WORKERS_MAX)
		return hr_fail(a, HR_EXIT_USAGE, "--workers: 1 to %d", HR_WORKERS_MAX);
	hr_log_setup(o.verbose ? HR_LOG_DEBUG : HR_LOG_INFO,
		     hr_streq(hr_arg_str(a, "log", "text"), "json") ? HR_LOG_JSON : HR_LOG_TEXT);
	if (hr_agent_run(&o, &err) < 0)
		return hr_fail(a, HR_EXIT_REFUSED, "%s", hr_sb_str(&err));
	return HR_EXIT_OK;
}
