/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of hr_decode_path. 0 or -errno; every problem is said in diags. */
#pragma once

#include "model/decode.h"

int hr_decode_file(struct hr_decoder *d, struct hr_diags *diags, const char *path, bool dir_ok);
int hr_decode_stdin(struct hr_decoder *d, struct hr_diags *diags);
