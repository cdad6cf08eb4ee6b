/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `vmctl --stdio-bridge`: what `vmctl -c ssh://HOST` runs at the other side. Bytes go between standard input and output and vmmd's
 * JSON-RPC socket, until either side ends.
 *
 * Tested by tests/unit/test-remote-rpc.c.
 */
#pragma once

/* 'path' NULL: the system instance's socket for root and members of its group, else the session's. Returns the exit status. */
int bridge_run(const char *path);
