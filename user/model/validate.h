/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of hr_validate_refs. */
#pragma once

#include "model/decode.h"

/* Does this VirtualService speak for traffic inside the mesh (and not only for gateways)? */
bool hr_vs_in_mesh(const struct hr_virtual_service *vs);

/* Rules of one VirtualService that earlier rules leave nothing to: warnings. */
void hr_validate_reach(const struct hr_virtual_service *vs, struct hr_diags *diags);
