/* SPDX-License-Identifier: Apache-2.0 */
/* Capture, as the rest of this room uses it. */
#pragma once

struct hr_kern;

/* Puts our programs into the links that are pinned, and remembers their cgroups. Gives how many
 * cgroups there are. */
int kern_adopt_captures(struct hr_kern *k);
void kern_detach_all(struct hr_kern *k);
