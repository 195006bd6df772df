// SPDX-License-Identifier: Apache-2.0
// headrace cleanup: what a crashed agent left, removed without an agent.
#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "cli/term.h"
#include "cli/verbs.h"
#include "control/control.h"
#include "kern/kern.h"

int hr_verb_cleanup(const struct hr_args *a)
{
	const char *pins = hr_arg_str(a, "pins", NULL);
	_cleanup_free_ char *state = hr_agent_state_path(pins);
	_cleanup_sb_ struct hr_strbuf out = {}, err = {};
	int sockets, things;

	sockets = hr_control_remove_stale(a->socket, &out, &err);
	if (sockets < 0)
		return hr_fail(a, HR_EXIT_REFUSED, "%s", hr_sb_str(&err));
	things = hr_kern_cleanup(pins, &out);
	if (things >= 0 && unlink(state) == 0) {
		hr_sb_printf(&out, "removed %s\n", state);
		things++;
	}
	hr_print(&out);
	if (things == -EBUSY)
		return hr_fail(a, HR_EXIT_REFUSED, "an agent is running");
	if (things < 0)
		return hr_fail(a, HR_EXIT_REFUSED, "%s", strerror(-things));
	if (!things && !sockets)
		puts("nothing to remove");
	return HR_EXIT_OK;
}
