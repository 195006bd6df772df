/* SPDX-License-Identifier: Apache-2.0 */
/* Tells a service manager (sd_notify protocol) what the agent is at; nothing without one. */
#pragma once

/* "READY=1", "RELOADING=1", "STOPPING=1", lines joined by \n. */
void agent_notify(const char *state);
