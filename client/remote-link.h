/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between remote-rpc.c, the connection, and remote-stream.c, which moves the bytes of a stream over it. */
#pragma once

#include <json-c/json.h>

#include "vmm-core/base/macro.h"

struct rpc_link;

/* Queue a notification, and send what goes now; 'params' is taken over. What cannot be sent is seen by rpc_link_move(). */
void rpc_link_post(struct rpc_link *link, const char *method, struct json_object *params);
/* Something of it waits to be sent. */
bool rpc_link_waits(const struct rpc_link *link);
/* Send and read what goes now; what came is given to whom it is for. 0, or what ended the connection. */
int rpc_link_move(struct rpc_link *link);
/* Send what waits, for at most so long. */
void rpc_link_flush(struct rpc_link *link, int timeout_ms);
int rpc_link_fd(const struct rpc_link *link);
