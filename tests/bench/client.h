/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client of vmmd's JSON-RPC as a program in C would write it: a blocking connection, lines out, lines in, json-c. Whatever goes
 * wrong ends the program (measure.h: die()).
 */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

#include "vmm-core/base/macro.h"

struct client {
	int fd;
	char *data;
	size_t size, start, end;
};

/* 0, or -ECONNREFUSED: nobody is there. */
int client_open(struct client *c, const char *path);
void client_close(struct client *c);
void client_send(struct client *c, const char *text, size_t len);
/* The next line, without its end; valid until the next call. */
char *client_line(struct client *c, size_t *ret_len);
/* The answer to one request whose 'params' are JSON: its result, which must be there. The caller frees it. */
struct json_object *client_call(struct client *c, const char *method, const char *params);
