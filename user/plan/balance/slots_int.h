/* SPDX-License-Identifier: Apache-2.0 */
/* Between slots.c and hashring.c. */
#pragma once

#include "plan/balance/slots.h"

/* Zeroed slots for the table; never NULL. */
uint16_t *hr_slots_new(struct hr_slot_table *t, uint32_t n);
/* size: minimumRingSize; mean: of the weights. */
void hr_ring_fill(const struct hr_plan_ep *eps, const double *weight, uint32_t n, uint64_t size,
		  double mean, uint16_t *slot, uint32_t slots);
void hr_maglev_fill(const struct hr_plan_ep *eps, const double *weight, uint32_t n, uint16_t *slot,
		    uint32_t slots);
