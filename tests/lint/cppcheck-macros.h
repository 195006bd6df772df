/* SPDX-License-Identifier: Apache-2.0 */
/* Loop and initialiser macros of libraries whose headers cppcheck does not read. */
#pragma once
#define json_array_foreach(array, i, v) for ((i) = 0; ((v) = json_array_get((array), (i))); (i)++)
#define json_object_foreach(object, k, v) for ((k) = "", (v) = (object); (v); (v) = 0)
#define LIBBPF_OPTS(type, name, ...) struct type name = {__VA_ARGS__}
#define DECLARE_LIBBPF_OPTS LIBBPF_OPTS
#define bpf_object__for_each_program(p, o) \
	for ((p) = bpf_object__next_program((o), 0); (p); (p) = bpf_object__next_program((o), (p)))
#define bpf_object__for_each_map(m, o) \
	for ((m) = bpf_object__next_map((o), 0); (m); (m) = bpf_object__next_map((o), (m)))
