#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Includes point downwards only (DESIGN, "Rooms"): a room includes itself and the rooms before it; tests may
# include all; what BPF shares with user space is include/headrace and bpf/lib.
order=$(sed -n 's/^ROOMS := //p' "$(dirname "$0")/../../Makefile")
. "$(dirname "$0")/files.sh"
files 'user/*.c' 'user/*.h' 'bpf/*.c' 'bpf/*.h' 'include/*.h' | xargs -r awk -v order="$order" '
BEGIN {
	n = split(order, rooms, " ")
	for (i = 1; i <= n; i++) level[rooms[i]] = i
}
FNR == 1 { split(FILENAME, part, "/"); side = part[1]; room = part[2] }
/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, q, "\""); inc = q[2]; split(inc, p, "/")
	why = ""
	if (inc ~ /\.\.\//)
		why = "include by room, not by ../"
	else if (side == "user" && !(room in level))
		why = "room " room " is not in the order of rooms"
	else if (side == "user" && (p[1] in level) && level[p[1]] > level[room])
		why = room " must not include " p[1] " (" order ")"
	else if (side != "user" && (p[1] in level))
		why = side "/ must not include user/" p[1]
	if (why != "") { print FILENAME ":" FNR ": " why; bad = 1 }
}
END { exit bad }'
