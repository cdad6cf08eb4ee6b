/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way to vmmd by JSON-RPC (docs/rpc.md): see remote-backend.h. To "unix:/PATH" directly; to "ssh://[USER@]HOST[:PORT]" through ssh, which
 * runs `vmctl --stdio-bridge` there. One call at a time; events that come in between are kept.
 *
 * Tested by tests/unit/test-remote-rpc.c.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "client/remote-backend.h"
#include "client/remote.h"
#include "vmm-core/base/strutil.h"

#define SSH_PREFIX  "ssh://"
#define UNIX_PREFIX "unix:/"
#define CHUNK       65536
#define MAX_MESSAGE (80U * 1024 * 1024) /* more than the daemon keeps for one caller */
#define MAX_REQUEST (2U * 1024 * 1024)  /* RPC_MAX_MESSAGE of daemon/rpc-frame.h */
#define MAX_KEPT    65536               /* events that nobody has taken yet */

struct rpc_link {
	int fd;
	pid_t child; /* ssh; 0: none */
	uint64_t last_id;
	char *data;
	size_t len, size, scanned;
	int got_fd;               /* came with the last message that brought one */
	struct json_object *kept; /* events */
	size_t n_taken;           /* of them */
};

bool remote_rpc_knows(const char *uri)
{
	return strncmp(uri, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0 ||
		strncmp(uri, SSH_PREFIX, strlen(SSH_PREFIX)) == 0;
}

static int lost(struct ctl *ctl)
{
	return ctl_set_error(
		ctl, "Disconnected", "internal error: the connection to vmmd was lost");
}

static int open_unix(struct ctl *ctl, struct rpc_link *link, const char *uri)
{
	const char *path = uri + strlen("unix:");
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (str_copy(address.sun_path, sizeof(address.sun_path), path) < 0)
		return ctl_set_error(
			ctl, "Connect", "cannot connect to '%s': the path is too long", uri);
	link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (link->fd < 0 || connect(link->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return ctl_set_error(ctl, "Connect", "cannot connect to '%s': %s%s", uri,
			strerror(errno),
			errno == ENOENT || errno == ECONNREFUSED
				? "; is vmmd running? systemctl start vmmd.socket"
				: "");
	return 0;
}

/* "[USER@]HOST[:PORT]", into ssh's words. A host that begins with '-' would be an option. */
static int parse_host(const char *uri, char host[256], char port[8])
{
	const char *rest = uri + strlen(SSH_PREFIX), *colon = strrchr(rest, ':');
	size_t n = colon && !strchr(colon, ']') ? (size_t)(colon - rest) : strlen(rest);
	uint64_t number;

	if (n && rest[n - 1] == '/' && !colon)
		n--;
	if (n == 0 || n >= 256 || *rest == '-' || memchr(rest, '/', n))
		return -EINVAL;
	memcpy(host, rest, n);
	host[n] = 0;
	*port = 0;
	if (rest[n] != ':')
		return 0;
	if (parse_u64(rest + n + 1, 65535, &number) < 0 || number == 0)
		return -EINVAL;
	(void)snprintf(port, 8, "%u", (unsigned)number);
	return 0;
}

static _noreturn_ void exec_ssh(int fd, char *host, char *port)
{
	static char ssh[] = "ssh", flags[] = "-xT", p[] = "-p", end[] = "--", vmctl[] = "vmctl",
		    bridge[] = "--stdio-bridge";
	char *argv[9] = {ssh, flags};
	unsigned n = 2;

	if (*port) {
		argv[n++] = p;
		argv[n++] = port;
	}
	argv[n++] = end;
	argv[n++] = host;
	argv[n++] = vmctl;
	argv[n] = bridge;
	if (dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0) {
		(void)execvp("ssh", argv);
		(void)dprintf(STDERR_FILENO, "error: cannot run ssh: %s\n", strerror(errno));
	}
	_exit(127);
}

static int open_ssh(struct ctl *ctl, struct rpc_link *link, const char *uri)
{
	char host[256], port[8];
	int pair[2];

	if (parse_host(uri, host, port) < 0)
		return ctl_set_error(ctl, "Connect",
			"cannot connect to '%s': give it as ssh://USER@HOST or ssh://HOST:PORT",
			uri);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return ctl_set_error(
			ctl, "Connect", "cannot connect to '%s': %s", uri, strerror(errno));
	(void)fflush(NULL);
	link->child = fork();
	if (link->child == 0)
		exec_ssh(pair[1], host, port);
	(void)close(pair[1]);
	link->fd = pair[0];
	if (link->child < 0) {
		link->child = 0;
		return ctl_set_error(ctl, "Connect", "cannot run ssh: %s", strerror(errno));
	}
	return 0;
}

static int send_all(struct ctl *ctl, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(ctl->rpc->fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return lost(ctl);
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_request(struct ctl *ctl, const char *method, struct json_object *args, uint64_t id)
{
	_cleanup_(json_putp) struct json_object *o = json_object_new_object();
	const char *text;
	size_t len;
	int r;

	json_object_object_add(o, "jsonrpc", json_object_new_string("2.0"));
	if (id)
		json_object_object_add(o, "id", json_object_new_uint64(id));
	json_object_object_add(o, "method", json_object_new_string(method));
	json_object_object_add(o, "params", json_object_get(args));
	text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (text && len > MAX_REQUEST)
		return ctl_set_error(ctl, "InvalidArgument",
			"invalid argument: the request has %zu bytes, and JSON-RPC carries %u at "
			"most; give less at once, or connect by D-Bus",
			len, MAX_REQUEST);
	r = text ? send_all(ctl, text, len) : -ENOMEM;
	return r < 0 ? r : send_all(ctl, "\n", 1);
}

/* Read what is there: bytes, 0 at the end, or -errno. */
static ssize_t fill(struct rpc_link *link, int flags)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov;
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	ssize_t n;

	if (link->size - link->len < CHUNK) {
		char *data = link->len > MAX_MESSAGE ? NULL
						     : realloc(link->data, 2 * link->size + CHUNK);

		if (!data)
			return -ENOMEM;
		link->data = data;
		link->size = 2 * link->size + CHUNK;
	}
	iov = (struct iovec){link->data + link->len, link->size - link->len};
	n = recvmsg(link->fd, &m, MSG_CMSG_CLOEXEC | flags);
	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		link->got_fd = safe_close(link->got_fd);
		memcpy(&link->got_fd, CMSG_DATA(c), sizeof(int));
	}
	link->len += (size_t)n;
	return n;
}

/* The first whole line as JSON: 1, 0 (there is none), -EBADMSG. */
static int take_line(struct rpc_link *link, struct json_object **ret)
{
	char *newline = link->len > link->scanned
		? memchr(link->data + link->scanned, '\n', link->len - link->scanned)
		: NULL;
	size_t n;

	if (!newline) {
		link->scanned = link->len;
		return 0;
	}
	*newline = 0;
	n = (size_t)(newline - link->data) + 1;
	*ret = json_tokener_parse(link->data);
	memmove(link->data, link->data + n, link->len - n);
	link->len -= n;
	link->scanned = 0;
	return *ret ? 1 : -EBADMSG;
}

static uint64_t now_usec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The next message: 0, -ETIMEDOUT, or what ends the connection. */
static int next_message(struct rpc_link *link, uint64_t end_usec, struct json_object **ret)
{
	for (;;) {
		struct pollfd p = {.fd = link->fd, .events = POLLIN};
		uint64_t now = now_usec();
		ssize_t n;
		int r = take_line(link, ret);

		if (r != 0)
			return r < 0 ? r : 0;
		if (now >= end_usec)
			return -ETIMEDOUT;
		r = poll(&p, 1, (int)MIN((end_usec - now) / 1000 + 1, UINT64_C(3600000)));
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r <= 0)
			continue;
		n = fill(link, 0);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && n != -EINTR)
			return (int)n;
	}
}

static bool is_event(struct json_object *message)
{
	const char *method = json_string(message, "method", "");

	return streq(method, "rpc.event") || streq(method, "rpc.gap");
}

/* Wait for the answer to 'id'. What else comes is kept, or is an answer that we gave up on. */
static int wait_answer(
	struct ctl *ctl, const char *method, uint64_t timeout_usec, struct json_object **ret)
{
	uint64_t end_usec = now_usec() + timeout_usec, id = ctl->rpc->last_id;

	for (;;) {
		_cleanup_(json_putp) struct json_object *m = NULL;
		int r = next_message(ctl->rpc, end_usec, &m);

		if (r == -ETIMEDOUT)
			return ctl_set_error(ctl, "Timeout",
				"Timed out during operation: vmmd did not answer %s", method);
		if (r == -EBADMSG)
			return ctl_set_error(
				ctl, "Internal", "internal error: what vmmd answered is not JSON");
		if (r < 0)
			return lost(ctl);
		if (is_event(m)) {
			if (json_object_array_length(ctl->rpc->kept) < MAX_KEPT)
				json_object_array_add(ctl->rpc->kept, TAKE_PTR(m));
		} else if (json_number(m, "id", -1) == (int64_t)id) {
			*ret = TAKE_PTR(m);
			return 0;
		}
	}
}

static int call_failed(struct ctl *ctl, const char *method, struct json_object *error)
{
	struct json_object *data = json_object_object_get(error, "data");
	const char *message = json_string(error, "message", "internal error: no message");

	switch (json_number(error, "code", 0)) {
	case -32601:
		(void)ctl_set_error(ctl, "NotSupported",
			"Operation not supported: this vmmd has no %s", method);
		break;
	case -32050:
		(void)ctl_set_error(ctl, "ResourceBusy", "resource busy: %s", message);
		break;
	default:
		(void)ctl_set_error(ctl, json_string(data, "class", "Internal"), "%s", message);
	}
	return -EREMOTEIO;
}

/* The members of the result, in the order of the method's results. */
static struct json_object *values_of(struct json_object *result)
{
	struct json_object *all = json_object_new_array();

	json_object_object_foreach(result, key, v)
	{
		(void)key;
		json_object_array_add(all, json_object_get(v));
	}
	return all;
}

static int rpc_call(struct ctl *ctl, const char *method, uint64_t timeout_usec, const char *types,
	struct json_object *args, struct json_object **ret_reply, int *ret_fd)
{
	_cleanup_(json_putp) struct json_object *answer = NULL;
	struct json_object *part;
	int r;

	(void)types;
	r = send_request(ctl, method, args, ++ctl->rpc->last_id);
	if (r >= 0)
		r = wait_answer(ctl, method, timeout_usec, &answer);
	if (r < 0)
		return r;
	if (json_object_object_get_ex(answer, "error", &part))
		return call_failed(ctl, method, part);
	if (!json_object_object_get_ex(answer, "result", &part) ||
		!json_object_is_type(part, json_type_object))
		return ctl_set_error(
			ctl, "Internal", "internal error: strange answer to %s", method);
	if (ret_reply)
		*ret_reply = values_of(part);
	if (ret_fd)
		*ret_fd = TAKE_FD(ctl->rpc->got_fd);
	return 0;
}

static void rpc_post(
	struct ctl *ctl, const char *method, const char *types, struct json_object *args)
{
	(void)types;
	(void)send_request(ctl, method, args, 0);
}

static void rpc_disconnect(struct ctl *ctl)
{
	struct rpc_link *link = ctl->rpc;

	if (!link)
		return;
	(void)safe_close(link->fd);
	(void)safe_close(link->got_fd);
	/* The end of its input is the end of ssh. */
	while (link->child > 0 && waitpid(link->child, NULL, 0) < 0 && errno == EINTR)
		;
	json_object_put(link->kept);
	free(link->data);
	free(link);
	ctl->rpc = NULL;
}

static int rpc_connect(struct ctl *ctl, const char *uri)
{
	struct rpc_link *link = calloc(1, sizeof(*link));
	bool ssh = strncmp(uri, SSH_PREFIX, strlen(SSH_PREFIX)) == 0;
	int r;

	if (!link)
		return ctl_set_error(ctl, "NoMemory", "out of memory");
	link->fd = link->got_fd = -EBADF;
	link->kept = json_object_new_array();
	ctl->rpc = link;
	r = ssh ? open_ssh(ctl, link, uri) : open_unix(ctl, link, uri);
	if (r >= 0)
		r = remote_call(ctl, "Ping", CTL_CALL_TIMEOUT_USEC, NULL, "");
	if (r < 0 && ctl->error_code && streq(ctl->error_code, "Disconnected"))
		return ctl_set_error(ctl, "Connect", "cannot connect to '%s': %s", uri,
			ssh ? "ssh ended; vmctl and vmmd must be there, and you must be let in"
			    : "the connection was closed");
	return r;
}

const struct remote_ops remote_rpc_ops = {
	.connect = rpc_connect,
	.call = rpc_call,
	.post = rpc_post,
	.disconnect = rpc_disconnect,
};

int remote_rpc_subscribe(struct ctl *ctl)
{
	return remote_call(ctl, "rpc.subscribe", CTL_CALL_TIMEOUT_USEC, NULL, "");
}

int remote_rpc_fd(const struct ctl *ctl)
{
	return ctl->rpc->fd;
}

int remote_rpc_take_event(struct ctl *ctl, struct json_object **ret_message)
{
	struct rpc_link *link = ctl->rpc;

	if (link->n_taken < json_object_array_length(link->kept)) {
		*ret_message =
			json_object_get(json_object_array_get_idx(link->kept, link->n_taken++));
		return 1;
	}
	for (;;) {
		_cleanup_(json_putp) struct json_object *m = NULL;
		ssize_t n;
		int r = take_line(link, &m);

		if (r < 0)
			return r;
		if (r > 0 && is_event(m)) {
			*ret_message = TAKE_PTR(m);
			return 1;
		}
		if (r > 0)
			continue;
		n = fill(link, MSG_DONTWAIT);
		if (n == -EAGAIN || n == -EINTR)
			return 0;
		if (n <= 0)
			return n < 0 ? (int)n : -ECONNRESET;
	}
}
