/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client of vmmd's JSON-RPC: see client.h. */
#include "tests/bench/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "vmm-core/base/strutil.h"

int client_open(struct client *c, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (str_copy(a.sun_path, sizeof(a.sun_path), path) < 0)
		die("%s: too long", path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		(void)close(fd);
		return -ECONNREFUSED;
	}
	*c = (struct client){.fd = fd};
	return 0;
}

void client_close(struct client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	free(c->data);
	*c = (struct client){.fd = -1};
}

void client_send(struct client *c, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			die("vmmd: cannot send: %m");
		text += n;
		len -= (size_t)n;
	}
}

char *client_line(struct client *c, size_t *ret_len)
{
	size_t scanned = 0;

	for (;;) {
		char *begin = c->data + c->start;
		char *newline = c->end > c->start + scanned
			? memchr(begin + scanned, '\n', c->end - c->start - scanned)
			: NULL;
		ssize_t n;

		if (newline) {
			*newline = 0;
			*ret_len = (size_t)(newline - begin);
			c->start += *ret_len + 1;
			return begin;
		}
		scanned = c->end - c->start;
		if (c->start) {
			memmove(c->data, begin, scanned);
			c->start = 0;
			c->end = scanned;
		}
		if (c->end == c->size) {
			c->size = c->size ? c->size * 2 : 65536;
			c->data = realloc(c->data, c->size);
			if (!c->data)
				die("out of memory");
		}
		n = recv(c->fd, c->data + c->end, c->size - c->end, 0);
		if (n <= 0)
			die("vmmd closed the connection: %m");
		c->end += (size_t)n;
	}
}

static struct json_object *decode(const char *line, size_t len)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *v = json_tokener_parse_ex(tok, line, (int)len + 1);

	json_tokener_free(tok);
	if (!v)
		die("vmmd: not JSON: %.200s", line);
	return v;
}

struct json_object *client_call(struct client *c, const char *method, const char *params)
{
	struct json_object *answer, *result;
	char *text;
	size_t len;
	int n = asprintf(&text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n",
		method, params);

	if (n < 0)
		die("out of memory");
	client_send(c, text, (size_t)n);
	free(text);
	text = client_line(c, &len);
	answer = decode(text, len);
	if (!json_object_object_get_ex(answer, "result", &result))
		die("vmmd: %s: %.500s", method, text);
	(void)json_object_get(result);
	json_object_put(answer);
	return result;
}
