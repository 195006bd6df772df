// SPDX-License-Identifier: Apache-2.0
// The command table: what headrace can be told. Parsing, -h, completion and man page follow it.
#include "cli/command.h"
#include "cli/verbs.h"

#define KINDS                                                                              \
	"virtualservice|destinationrule|serviceentry|workloadentry|service|endpointslice|" \
	"endpoints|pod|namespace|node|vs|dr|se|we"

#define OPT_FILES(help) {"file", 'f', HR_OPT_LIST, "PATH", (help), NULL}
#define OPT_NAMESPACE {"namespace", 'n', HR_OPT_STRING, "NS", "namespace (default: default)", NULL}
#define OPT_DOMAIN {"cluster-domain", 0, HR_OPT_STRING, "DOMAIN", "default: cluster.local", NULL}
#define OPT_OUTBOUND                       \
	{"outbound",                       \
	 0,                                \
	 HR_OPT_STRING,                    \
	 "POLICY",                         \
	 "for hosts that nothing defines", \
	 "allow-any|registry-only"}
#define OPT_LOCALITY                                                                       \
	{"locality",                                                                       \
	 0,                                                                                \
	 HR_OPT_STRING,                                                                    \
	 "REGION/ZONE/SUBZONE",                                                            \
	 "where the clients are (default: labels of the Node that NODE_NAME names)",       \
	 NULL},                                                                            \
	{                                                                                  \
		"node", 0, HR_OPT_STRING, "NAME", "their node (default: $NODE_NAME)", NULL \
	}
/* who a captured process is */
#define OPT_IDENTITY                                                                              \
	{"workload", 0, HR_OPT_STRING, "NS/NAME", "identity of its processes", NULL},             \
		{"labels", 0, HR_OPT_STRING, "K=V,...", "labels of the workload", NULL},          \
		{"datapath",  0, HR_OPT_STRING, "MODE", "agent: never through the kernel path",   \
		 "auto|agent"},                                                                   \
		{"same-node", 0, HR_OPT_STRING, "WHEN", "off: TCP also to servers on this node",  \
		 "on|off"},                                                                       \
	{                                                                                         \
		"blocking-ok", 0, HR_OPT_FLAG, NULL, "the kernel path also for blocking sockets", \
			NULL                                                                      \
	}
/* which processes */
#define OPT_TARGET                                                                                   \
	{"cgroup", 0, HR_OPT_STRING, "PATH", "a cgroup, absolute or below the cgroup2 mount", NULL}, \
		{"pid", 0, HR_OPT_UINT, "PID", "a process", NULL},                                   \
	{                                                                                            \
		"unit", 0, HR_OPT_STRING, "NAME", "a systemd unit, nginx.service", NULL              \
	}

static const struct hr_option datapath_options[] = {
	{"same-node", 0, HR_OPT_STRING, "WHEN",
	 "off: new connections between two captured ends on this node use TCP", "on|off"},
	{},
};

#define OPT_LENIENT \
	{"lenient", 0, HR_OPT_FLAG, NULL, "known slips of real users are only warnings", NULL}

static const struct hr_option run_options[] = {
	OPT_FILES("file or directory of objects, watched; - is stdin, read once"),
	{"datapath", 0, HR_OPT_STRING, "MODE", "who carries requests; auto: self-test decides",
	 "auto|kernel|agent"},
	{"metrics", 0, HR_OPT_STRING, "ADDR:PORT",
	 "Prometheus endpoint, off: none (default: 127.0.0.1:15020)", NULL},
	{"socket", 0, HR_OPT_STRING, "PATH", "control socket to serve", NULL},
	OPT_DOMAIN,
	OPT_OUTBOUND,
	OPT_LOCALITY,
	{"workers", 0, HR_OPT_UINT, "N", "worker threads (default: one a CPU)", NULL},
	{"drain", 0, HR_OPT_UINT, "SECONDS", "how long SIGTERM waits for requests (default: 10)",
	 NULL},
	{"access-log", 0, HR_OPT_STRING, "PATH",
	 "JSON line for each request of the agent; - is stdout", NULL},
	{"access-log-sample", 0, HR_OPT_UINT, "N",
	 "and for one in N requests that the kernel carries; 0: none (default: 100)", NULL},
	{"log", 0, HR_OPT_STRING, "FORMAT", "form of log lines", "text|json"},
	{"store", 0, HR_OPT_STRING, "DIR",
	 "where applied objects live (default: /var/lib/headrace)", NULL},
	{"pins", 0, HR_OPT_STRING, "DIR", "where maps are pinned (default: /sys/fs/bpf/headrace)",
	 NULL},
	OPT_LENIENT,
	{"verbose", 'v', HR_OPT_FLAG, NULL, "debug lines, and those of libbpf", NULL},
	{},
};

static const struct hr_option check_options[] = {
	{"strict", 0, HR_OPT_FLAG, NULL, "objects of unknown API groups are errors", NULL},
	OPT_LENIENT,
	{"output", 'o', HR_OPT_STRING, "FORMAT", "how to show it", "text|json|sarif"},
	OPT_DOMAIN,
	{},
};

static const struct hr_option explain_options[] = {
	OPT_FILES("objects to explain with; without it the agent's own"),
	{"method", 'X', HR_OPT_STRING, "METHOD", "default: GET", NULL},
	{"header", 'H', HR_OPT_LIST, "'NAME: VALUE'", "request header", NULL},
	{"from", 0, HR_OPT_STRING, "NS/NAME", "workload that asks", NULL},
	{"source-labels", 0, HR_OPT_STRING, "K=V,...", "its labels", NULL},
	{"source-ip", 0, HR_OPT_STRING, "IP", "its address", NULL},
	{"gateway", 0, HR_OPT_STRING, "NS/NAME", "gateway the request comes through", NULL},
	OPT_DOMAIN,
	OPT_OUTBOUND,
	OPT_LOCALITY,
	{},
};

static const struct hr_option status_options[] = {
	{"wait", 0, HR_OPT_UINT, "SECONDS", "return as soon as the agent is ready", NULL},
	{},
};

static const struct hr_option top_options[] = {
	{"interval", 0, HR_OPT_UINT, "SECONDS", "time between two pictures (default: 1)", NULL},
	{},
};

static const struct hr_option apply_options[] = {
	OPT_FILES("file or directory to apply, - is stdin"),
	{"dry-run", 0, HR_OPT_FLAG, NULL, "check only, change nothing", NULL},
	OPT_LENIENT,
	{},
};

static const struct hr_option get_options[] = {
	OPT_NAMESPACE,
	{"all-namespaces", 'A', HR_OPT_FLAG, NULL, "of every namespace", NULL},
	{"output", 'o', HR_OPT_STRING, "FORMAT", "how to show it", "text|yaml|json"},
	{},
};

static const struct hr_option delete_options[] = {
	OPT_FILES("delete the objects of this file"),
	OPT_NAMESPACE,
	{},
};

#define OPT_DRY_RUN                                                                               \
	{"dry-run", 0, HR_OPT_FLAG, NULL, "print the YAML that would be applied, change nothing", \
	 NULL}
#define OPT_POLICY(name, whose)                                                                 \
	{name, 0, HR_OPT_STRING, "POLICY", "trafficPolicy of " whose ": a YAML file, or {...}", \
	 NULL}

static const struct hr_option canary_create_options[] = {
	OPT_NAMESPACE,
	{"stable", 0, HR_OPT_STRING, "SUBSET=WEIGHT", "the version that is there", NULL},
	{"canary", 0, HR_OPT_STRING, "SUBSET=WEIGHT", "the new one", NULL},
	{"match", 0, HR_OPT_LIST, "HEADER[=VALUE]", "requests that all go to the canary", NULL},
	{"subset", 0, HR_OPT_LIST, "SUBSET=KEY=VALUE,...",
	 "labels of its pods (default: version=SUBSET)", NULL},
	{"timeout", 0, HR_OPT_STRING, "DURATION", "of a request; 0s: none (default: 30s)", NULL},
	{"retries", 0, HR_OPT_STRING, "N[xDURATION]", "tries after the first (default: 3x10s)",
	 NULL},
	OPT_POLICY("stable-policy", "the stable subset"),
	OPT_POLICY("canary-policy", "the canary's subset"),
	OPT_POLICY("base-policy", "both"),
	OPT_DRY_RUN,
	{},
};

static const struct hr_option canary_change_options[] = {OPT_NAMESPACE, OPT_DRY_RUN, {}};

static const struct hr_option canary_status_options[] = {
	OPT_NAMESPACE,
	{"interval", 0, HR_OPT_UINT, "SECONDS", "time between two looks (default: 1)", NULL},
	{},
};

static const struct hr_option canary_run_options[] = {
	OPT_NAMESPACE,
	{"steps", 0, HR_OPT_STRING, "N,...", "percent for the canary (default: 5,25,50,100)", NULL},
	{"every", 0, HR_OPT_STRING, "DURATION", "how long each step is watched (default: 30s)",
	 NULL},
	{"max-error", 0, HR_OPT_STRING, "PERCENT", "5xx and broken answers allowed (default: 1%)",
	 NULL},
	{"max-p99", 0, HR_OPT_STRING, "DURATION", "99 of 100 answers are faster (default: any)",
	 NULL},
	{"min-requests", 0, HR_OPT_UINT, "N", "the canary's in a step, to judge by (default: 100)",
	 NULL},
	{"give-up", 0, HR_OPT_STRING, "DURATION",
	 "roll back when a step has too few requests for so long (default: wait)", NULL},
	{},
};

static const struct hr_option breaker_enable_options[] = {
	OPT_NAMESPACE,
	{"consecutive-errors", 0, HR_OPT_UINT, "N", "in a row, ejects an endpoint (default: 5)",
	 NULL},
	{"interval", 0, HR_OPT_STRING, "DURATION", "between two sweeps (default: 30s)", NULL},
	{"base-ejection", 0, HR_OPT_STRING, "DURATION",
	 "of the first ejection; the n-th is n times as long (default: 30s)", NULL},
	{"max-ejection", 0, HR_OPT_UINT, "PERCENT", "of the endpoints at a time (default: 50)",
	 NULL},
	{"min-health", 0, HR_OPT_UINT, "PERCENT",
	 "with fewer healthy ones all are used (default: 30)", NULL},
	OPT_DRY_RUN,
	{},
};

static const struct hr_option breaker_status_options[] = {OPT_NAMESPACE, {}};

static const struct hr_option exec_options[] = {OPT_IDENTITY, {}};
static const struct hr_option attach_options[] = {OPT_TARGET, OPT_IDENTITY, {}};
static const struct hr_option detach_options[] = {OPT_TARGET, {}};

static const struct hr_option cleanup_options[] = {
	{"pins", 0, HR_OPT_STRING, "DIR", "default: /sys/fs/bpf/headrace", NULL},
	{},
};

static const struct hr_option help_options[] = {
	{"man", 0, HR_OPT_FLAG, NULL, "the man page, in roff", NULL},
	{},
};

const struct hr_command hr_commands[] = {
	{"run",
	 "[-f PATH]... [OPTION]...",
	 "Run the agent",
	 "Loads the BPF programs, serves the control socket and carries what the kernel does not. "
	 "SIGHUP reads the files again, SIGTERM finishes open requests and leaves nothing behind.",
	 0,
	 {},
	 run_options,
	 hr_verb_run},
	{"check",
	 "[OPTION]... PATH...",
	 "Check files of Istio and Kubernetes objects",
	 "Every finding has its file, line and column. Exit 1 when there is an error.",
	 0,
	 {1, HR_OPERANDS_ANY, NULL, false},
	 check_options,
	 hr_verb_check},
	{"explain",
	 "[OPTION]... URL",
	 "Say what happens to a request, and why",
	 NULL,
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {1, 1, NULL, false},
	 explain_options,
	 hr_verb_explain},
	{"status",
	 "[--wait SECONDS]",
	 "Show the agent's state",
	 NULL,
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {},
	 status_options,
	 hr_verb_status},
	{"top",
	 "[--interval SECONDS]",
	 "Show rates and latencies per route and endpoint",
	 "A table that refreshes on a terminal, one picture otherwise.",
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {},
	 top_options,
	 hr_verb_top},
	{"routes",
	 "",
	 "List the rules in effect",
	 NULL,
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {},
	 NULL,
	 hr_verb_routes},
	{"endpoints",
	 "",
	 "List clusters and their endpoints",
	 NULL,
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {},
	 NULL,
	 hr_verb_endpoints},
	{"breakers",
	 "",
	 "Show what is left of the limits of each cluster",
	 "IN USE/LIMIT of connections, waiting requests, requests and retries (connectionPool), "
	 "and "
	 "+HOW OFTEN the limit was met. -: no limit.",
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {},
	 NULL,
	 hr_verb_breakers},
	{"apply",
	 "-f PATH... [--dry-run]",
	 "Give objects to the agent",
	 "They are kept over restarts. An object of the same name in a file of `run -f` wins, and "
	 "that is said.",
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {},
	 apply_options,
	 hr_verb_apply},
	{"get",
	 "KIND [NAME]",
	 "Show objects",
	 NULL,
	 HR_CMD_AGENT,
	 {1, 2, KINDS, true},
	 get_options,
	 hr_verb_get},
	{"delete",
	 "KIND NAME | -f PATH",
	 "Delete objects that were applied",
	 NULL,
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {0, 2, KINDS, true},
	 delete_options,
	 hr_verb_delete},
	{"canary create",
	 "SERVICE --stable SUBSET=WEIGHT --canary SUBSET=WEIGHT [OPTION]...",
	 "Split the traffic of a service between two versions",
	 "Makes a VirtualService and a DestinationRule, or changes those that are there and keeps "
	 "what is not named here. Requests that match one of --match go to the canary whatever the "
	 "weights are.",
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {1, 1, NULL, false},
	 canary_create_options,
	 hr_verb_canary_create},
	{"canary weights",
	 "SERVICE SUBSET=WEIGHT...",
	 "Change the weights of a split",
	 NULL,
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {2, HR_OPERANDS_ANY, NULL, false},
	 canary_change_options,
	 hr_verb_canary_weights},
	{"canary promote",
	 "SERVICE",
	 "Give the canary all of the weight",
	 "The objects stay; the stable side has weight 0.",
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {1, 1, NULL, false},
	 canary_change_options,
	 hr_verb_canary_promote},
	{"canary rollback",
	 "SERVICE",
	 "Give the stable side all of the weight",
	 "The objects stay; the canary has weight 0. Rules that send requests to it by match stay "
	 "too.",
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {1, 1, NULL, false},
	 canary_change_options,
	 hr_verb_canary_rollback},
	{"canary status",
	 "SERVICE",
	 "Show the share and the success of each side",
	 "SHARE, OK and P99 are of the requests that ended between two looks.",
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {1, 1, NULL, false},
	 canary_status_options,
	 hr_verb_canary_status},
	{"canary run",
	 "SERVICE [OPTION]...",
	 "Give the canary more step by step, and roll back when it is not well",
	 "Each step is judged by the canary's own requests of that step: it fails when more of "
	 "them "
	 "fail or are slow than are allowed in --min-requests, at once, and passes when it was "
	 "watched for --every and had so many requests. Without traffic it waits and says so. "
	 "Exit 0 after the last step, 1 after a rollback. Interrupted, it leaves the weights of "
	 "the "
	 "step. An agent that is restarted has its weights back; the step begins again.",
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {1, 1, NULL, false},
	 canary_run_options,
	 hr_verb_canary_run},
	{"breaker enable",
	 "SERVICE [OPTION]...",
	 "Take endpoints that fail out of use (outlierDetection)",
	 "Changes the service's DestinationRule; options that are not given leave what is there.",
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {1, 1, NULL, false},
	 breaker_enable_options,
	 hr_verb_breaker_enable},
	{"breaker disable",
	 "SERVICE",
	 "Take the breaker off",
	 NULL,
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {1, 1, NULL, false},
	 canary_change_options,
	 hr_verb_breaker_disable},
	{"breaker status",
	 "SERVICE",
	 "Show the breaker and the endpoints behind it",
	 NULL,
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {1, 1, NULL, false},
	 breaker_status_options,
	 hr_verb_breaker_status},
	{"exec",
	 "[OPTION]... [--] CMD...",
	 "Run a command whose traffic is steered",
	 "The command replaces headrace, in a fresh cgroup. Its status is that of the command; "
	 "125: "
	 "headrace failed, 126: it cannot be executed, 127: it was not found.",
	 HR_CMD_AGENT | HR_CMD_TAIL,
	 {1, HR_OPERANDS_ANY, NULL, false},
	 exec_options,
	 hr_verb_exec},
	{"attach",
	 "--cgroup PATH | --pid PID | --unit NAME",
	 "Steer the traffic of running processes",
	 "Connections that are open already stay as they are.",
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {},
	 attach_options,
	 hr_verb_attach},
	{"detach",
	 "--cgroup PATH | --pid PID | --unit NAME",
	 "Undo attach",
	 NULL,
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {},
	 detach_options,
	 hr_verb_detach},
	{"datapath",
	 "[auto|kernel|agent] [--same-node=on|off]",
	 "Show or set who carries requests",
	 "agent is the kill switch: new requests go through the agent, no connection breaks.",
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {0, 1, "auto|kernel|agent", false},
	 datapath_options,
	 hr_verb_datapath},
	{"cleanup",
	 "[--pins DIR]",
	 "Remove what a crashed agent left",
	 NULL,
	 HR_CMD_AGENT,
	 {},
	 cleanup_options,
	 hr_verb_cleanup},
	{"demo", "", "Run the demonstration", NULL, 0, {}, NULL, hr_verb_demo},
	{"completion",
	 "bash",
	 "Print the completion script of a shell",
	 NULL,
	 0,
	 {1, 1, "bash", false},
	 NULL,
	 hr_verb_completion},
	{"version", "", "Print the version", NULL, HR_CMD_OUTPUT, {}, NULL, hr_verb_version},
	{"help", "[VERB]", "Print help", NULL, 0, {0, 1, NULL, false}, help_options, hr_verb_help},
	{},
};
