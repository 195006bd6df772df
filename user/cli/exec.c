// SPDX-License-Identifier: Apache-2.0
/*
 * headrace exec: the agent puts this very process into a cgroup of its own, enrolled and with the
 * doors of its namespace open; then the command takes the process over. So signals, job control
 * and exit status are the command's own, and the agent removes the cgroup when it is empty.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "cli/capture.h"
#include "cli/term.h"
#include "cli/verbs.h"

enum { EXEC_FAILED = 125, EXEC_CANNOT = 126, EXEC_NOT_FOUND = 127 };

int hr_verb_exec(const struct hr_args *a)
{
	_cleanup_json_ json_t *result = NULL;
	json_t *req = json_pack("{s:b}", "self", 1);
	int r = hr_identity_json(a, a->pos[0], req);

	if (r) {
		json_decref(req);
		return EXEC_FAILED;
	}
	if (hr_ask(a, "attach", req, &result))
		return EXEC_FAILED;
	signal(SIGPIPE, SIG_DFL);
	execvp(a->pos[0], a->pos);
	r = errno;
	return hr_fail(a, r == ENOENT ? EXEC_NOT_FOUND : EXEC_CANNOT, "%s: %s", a->pos[0],
		       strerror(r));
}
