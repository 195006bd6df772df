// SPDX-License-Identifier: Apache-2.0
// headrace demo: runs the demonstration that lies beside the program or is installed.
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/term.h"
#include "cli/verbs.h"

int hr_verb_demo(const struct hr_args *a)
{
	static const char *const places[] = {"../tests/demo/demo", "../share/headrace/demo/demo"};
	char self[PATH_MAX], path[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return hr_fail(a, HR_EXIT_REFUSED, "/proc/self/exe: %s", strerror(errno));
	self[n] = 0;
	setenv("HEADRACE", self, 0);
	*(strrchr(self, '/') + 1) = 0;
	for (size_t i = 0; i < HR_ARRAY_SIZE(places); i++) {
		snprintf(path, sizeof(path), "%s%s", self, places[i]);
		if (access(path, X_OK) == 0)
			execl(path, path, (char *)NULL);
	}
	return hr_fail(a, HR_EXIT_REFUSED,
		       "the demonstration is not installed; in a checkout: "
		       "sudo make demo");
}
