/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way to vmmd by JSON-RPC (docs/rpc.md): see remote-backend.h. To "unix:/PATH" directly; to "ssh://[USER@]HOST[:PORT]" through ssh, which
 * runs `vmctl --stdio-bridge` there; to "tls://HOST[:PORT]" by TLS (remote-tls.h). One call at a time; events that come in between are kept. Where no descriptor can come, a stream takes its
 * place (remote-stream.h), one at a time.
 *
 * Tested by tests/unit/test-remote-rpc.c, tests/unit/test-remote-tls.c and tests/unit/test-remote-stream.c.
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
#include "client/remote-kept.h"
#include "client/remote-link.h"
#include "client/remote-stream.h"
#include "client/remote-tls.h"
#include "client/remote.h"
#include "vmm-core/base/strutil.h"

#define SSH_PREFIX  "ssh://"
#define UNIX_PREFIX "unix:/"
#define CHUNK       65536
#define MAX_MESSAGE (80U * 1024 * 1024) /* more than the daemon keeps for one caller */
#define MAX_REQUEST (2U * 1024 * 1024)  /* RPC_MAX_MESSAGE of daemon/rpc-frame.h */
#define MAX_OUT     (4U * 1024 * 1024) /* what nobody waits for, and the other side does not take */

/* Of streams. A console's is small enough to fit into whatever carries it when nobody reads. */
#define CONSOLE_WINDOW 65536
#define CAPTURE_WINDOW (512 * 1024)

struct rpc_link {
	int fd;
	pid_t child;            /* ssh; 0: none */
	struct remote_tls *tls; /* NULL: the fd takes bytes as they are */
	bool passes_fds;
	uint64_t last_id;
	char *out; /* to be sent */
	size_t out_len, out_size;
	char *data;
	size_t len, size, scanned;
	int got_fd;       /* came with the last message that brought one */
	struct kept kept; /* events */
	struct remote_stream *stream;
};

static bool has_prefix(const char *uri, const char *prefix)
{
	return strncmp(uri, prefix, strlen(prefix)) == 0;
}

bool remote_rpc_knows(const char *uri)
{
	return has_prefix(uri, UNIX_PREFIX) || has_prefix(uri, SSH_PREFIX) ||
		has_prefix(uri, REMOTE_TLS_PREFIX);
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

static uint64_t now_usec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int enqueue(struct rpc_link *link, const char *text, size_t len)
{
	if (link->out_size - link->out_len < len + 1) {
		size_t size = link->out_len + len + 1 + CHUNK;
		char *out = realloc(link->out, size);

		if (!out)
			return -ENOMEM;
		link->out = out;
		link->out_size = size;
	}
	memcpy(link->out + link->out_len, text, len);
	link->out[link->out_len + len] = '\n';
	link->out_len += len + 1;
	return 0;
}

/* Bytes that go now, or -errno. */
static ssize_t send_bytes(struct rpc_link *link, const char *data, size_t len)
{
	ssize_t n;

	if (link->tls)
		return remote_tls_send(link->tls, data, len);
	n = send(link->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

/* What goes now: 0 (perhaps not all), or -errno. */
static int send_some(struct rpc_link *link)
{
	size_t done = 0;
	int r = 0;

	while (done < link->out_len && r == 0) {
		ssize_t n = send_bytes(link, link->out + done, link->out_len - done);

		if (n == -EAGAIN)
			break;
		if (n >= 0)
			done += (size_t)n;
		else if (n != -EINTR)
			r = (int)n;
	}
	link->out_len -= done;
	if (done && link->out_len)
		memmove(link->out, link->out + done, link->out_len);
	return r;
}

/* Queue a request; 'params' stays the caller's. 0, -EMSGSIZE or -ENOMEM. */
static int add_request(
	struct rpc_link *link, const char *method, struct json_object *params, uint64_t id)
{
	_cleanup_(json_putp) struct json_object *o = json_object_new_object();
	const char *text;
	size_t len;

	json_object_object_add(o, "jsonrpc", json_object_new_string("2.0"));
	if (id)
		json_object_object_add(o, "id", json_object_new_uint64(id));
	json_object_object_add(o, "method", json_object_new_string(method));
	json_object_object_add(o, "params", json_object_get(params));
	text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (text && len > MAX_REQUEST)
		return -EMSGSIZE;
	return text ? enqueue(link, text, len) : -ENOMEM;
}

/* Read what is there: bytes, 0 at the end, or -errno (by TLS also -EAGAIN: it was no whole record). */
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
	if (link->tls) {
		n = remote_tls_recv(link->tls, link->data + link->len, link->size - link->len);
		link->len += n > 0 ? (size_t)n : 0;
		return n;
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

/* All of it, until 'end_usec': 0, -ETIMEDOUT, or -errno. What comes meanwhile is read, as long as it has room: the other side may not
 * read on before it is rid of it. */
static int send_all(struct rpc_link *link, uint64_t end_usec)
{
	for (;;) {
		struct pollfd p = {.fd = link->fd, .events = POLLOUT};
		uint64_t now = now_usec();
		int r = send_some(link);
		ssize_t n = 0;

		if (r < 0 || link->out_len == 0)
			return r;
		if (now >= end_usec)
			return -ETIMEDOUT;
		if (link->len <= MAX_MESSAGE)
			p.events |= POLLIN;
		r = poll(&p, 1, (int)MIN((end_usec - now) / 1000 + 1, UINT64_C(3600000)));
		if (r > 0 && p.revents & POLLIN)
			n = fill(link, MSG_DONTWAIT);
		else
			continue;
		if (n == 0)
			return -EPIPE;
		if (n < 0 && n != -EINTR && n != -EAGAIN)
			return (int)n;
	}
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
		if (n < 0 && n != -EINTR && n != -EAGAIN)
			return (int)n;
	}
}

static bool is_event(struct json_object *message)
{
	const char *method = json_string(message, "method", "");

	return streq(method, "rpc.event") || streq(method, "rpc.gap");
}

/* What nobody has asked for now. False: it is an answer. */
static bool take_notification(struct rpc_link *link, struct json_object *message)
{
	if (is_event(message)) {
		kept_add(&link->kept, message);
		return true;
	}
	if (!streq(json_string(message, "method", ""), "rpc.stream"))
		return false;
	if (link->stream)
		remote_stream_take(link->stream, json_object_object_get(message, "params"));
	return true;
}

/* An error that is no call's: nobody with our certificate is let in, or nobody more; the connection ends by it. */
static bool is_refusal(struct json_object *message)
{
	struct json_object *id, *error = json_object_object_get(message, "error");
	int64_t code = json_number(error, "code", 0);

	return (code == -32052 || code == -32050) &&
		json_object_object_get_ex(message, "id", &id) && !id;
}

/* Wait for the answer to the last request. What else comes is kept, or is an answer that we gave up on. */
static int wait_answer(
	struct ctl *ctl, const char *method, uint64_t end_usec, struct json_object **ret)
{
	uint64_t id = ctl->rpc->last_id;

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
		if (take_notification(ctl->rpc, m))
			continue;
		if (json_number(m, "id", -1) == (int64_t)id || is_refusal(m)) {
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
	case -32052:
		(void)ctl_set_error(
			ctl, "Connect", "cannot connect to '%s': %s", remote_uri(ctl), message);
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

/* Send a request and wait for what it is answered: 0 with the caller's '*ret_answer'. */
static int exchange(struct ctl *ctl, const char *method, uint64_t timeout_usec,
	struct json_object *params, struct json_object **ret_answer)
{
	uint64_t end_usec = now_usec() + timeout_usec;
	int r = add_request(ctl->rpc, method, params, ++ctl->rpc->last_id);

	if (r == -EMSGSIZE)
		return ctl_set_error(ctl, "InvalidArgument",
			"invalid argument: too many bytes for one request, JSON-RPC carries %u at "
			"most; "
			"give less at once, or connect by D-Bus",
			MAX_REQUEST);
	if (r == 0)
		r = send_all(ctl->rpc, end_usec);
	/* The other side has closed: what it said last may say why. */
	if (r < 0 && r != -ETIMEDOUT && r != -EPIPE && r != -ECONNRESET)
		return lost(ctl);
	return wait_answer(ctl, method, end_usec, ret_answer);
}

/* The same with a stream in the place of the descriptor: its window goes behind the method's own arguments. */
static struct json_object *with_stream(struct json_object *args, uint32_t window)
{
	struct json_object *params = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(args); i++)
		json_object_array_add(params, json_object_get(json_object_array_get_idx(args, i)));
	json_object_array_add(params, json_object_new_int64(window));
	return params;
}

/* What comes beside a descriptor, or a stream in its place. */
static struct json_object *job_of(struct json_object *result)
{
	struct json_object *list = json_object_new_array(), *job;

	if (json_object_object_get_ex(result, "job", &job))
		(void)json_object_array_add(list, json_object_get(job));
	return list;
}

static int call_stream(struct ctl *ctl, const char *method, uint64_t timeout_usec,
	struct json_object *args, struct json_object **ret_reply, int *ret_fd)
{
	uint32_t window = streq(method, "OpenConsole") ? CONSOLE_WINDOW : CAPTURE_WINDOW;
	_cleanup_(json_putp) struct json_object *params = with_stream(args, window), *answer = NULL;
	struct rpc_link *link = ctl->rpc;
	struct json_object *error;
	int r;

	(void)remote_rpc_end_stream(ctl);
	r = exchange(ctl, method, timeout_usec, params, &answer);
	if (r < 0)
		return r;
	if (json_object_object_get_ex(answer, "error", &error)) {
		/* One argument too many. */
		if (json_number(error, "code", 0) == -32602)
			return ctl_set_error(ctl, "NoSupport",
				"this function is not supported by the connection driver: vmmd "
				"there is too old for %s over this connection",
				method);
		return call_failed(ctl, method, error);
	}
	r = remote_stream_new(
		link, json_object_object_get(answer, "result"), window, &link->stream, ret_fd);
	if (r == -EBADMSG)
		return ctl_set_error(
			ctl, "Internal", "internal error: strange answer to %s", method);
	if (r < 0)
		return ctl_set_error(
			ctl, "OperationFailed", "cannot make a stream: %s", strerror(-r));
	if (ret_reply)
		*ret_reply = job_of(json_object_object_get(answer, "result"));
	return 0;
}

static int rpc_call(struct ctl *ctl, const char *method, uint64_t timeout_usec, const char *types,
	struct json_object *args, struct json_object **ret_reply, int *ret_fd)
{
	_cleanup_(json_putp) struct json_object *answer = NULL;
	struct json_object *part;
	int r;

	(void)types;
	if (ret_fd && !ctl->rpc->passes_fds)
		return call_stream(ctl, method, timeout_usec, args, ret_reply, ret_fd);
	r = exchange(ctl, method, timeout_usec, args, &answer);
	if (r < 0)
		return r;
	if (json_object_object_get_ex(answer, "error", &part))
		return call_failed(ctl, method, part);
	if (!json_object_object_get_ex(answer, "result", &part) ||
		!json_object_is_type(part, json_type_object))
		return ctl_set_error(
			ctl, "Internal", "internal error: strange answer to %s", method);
	if (ret_reply)
		*ret_reply = ret_fd ? job_of(part) : values_of(part);
	if (ret_fd)
		*ret_fd = TAKE_FD(ctl->rpc->got_fd);
	return 0;
}

void rpc_link_post(struct rpc_link *link, const char *method, struct json_object *params)
{
	if (link->out_len < MAX_OUT && add_request(link, method, params, 0) == 0)
		(void)send_some(link);
	json_object_put(params);
}

bool rpc_link_waits(const struct rpc_link *link)
{
	return link->out_len > 0;
}

void rpc_link_flush(struct rpc_link *link, int timeout_ms)
{
	(void)send_all(link, now_usec() + (uint64_t)timeout_ms * 1000);
}

int rpc_link_fd(const struct rpc_link *link)
{
	return link->fd;
}

/* All whole messages that are here. */
static int take_messages(struct rpc_link *link)
{
	for (;;) {
		_cleanup_(json_putp) struct json_object *m = NULL;
		int r = take_line(link, &m);

		if (r <= 0)
			return r;
		(void)take_notification(link, m);
	}
}

int rpc_link_move(struct rpc_link *link)
{
	int r = send_some(link);
	ssize_t n;

	if (r == 0)
		r = take_messages(link);
	if (r < 0)
		return r;
	n = fill(link, MSG_DONTWAIT);
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	return take_messages(link);
}

static void rpc_post(
	struct ctl *ctl, const char *method, const char *types, struct json_object *args)
{
	(void)types;
	rpc_link_post(ctl->rpc, method, json_object_get(args));
}

static void rpc_disconnect(struct ctl *ctl)
{
	struct rpc_link *link = ctl->rpc;

	if (!link)
		return;
	(void)remote_rpc_end_stream(ctl);
	if (link->tls)
		link->tls = remote_tls_free(link->tls);
	else
		(void)safe_close(link->fd);
	(void)safe_close(link->got_fd);
	/* The end of its input is the end of ssh. */
	while (link->child > 0 && waitpid(link->child, NULL, 0) < 0 && errno == EINTR)
		;
	kept_done(&link->kept);
	free(link->data);
	free(link->out);
	free(link);
	ctl->rpc = NULL;
}

static int rpc_connect(struct ctl *ctl, const char *uri)
{
	struct rpc_link *link = calloc(1, sizeof(*link));
	bool ssh = has_prefix(uri, SSH_PREFIX), tls = has_prefix(uri, REMOTE_TLS_PREFIX);
	int r;

	if (!link)
		return ctl_set_error(ctl, "NoMemory", "out of memory");
	link->fd = link->got_fd = -EBADF;
	link->passes_fds = has_prefix(uri, UNIX_PREFIX);
	ctl->rpc = link;
	if (tls)
		r = remote_tls_connect(ctl, uri, &link->tls, &link->fd);
	else
		r = ssh ? open_ssh(ctl, link, uri) : open_unix(ctl, link, uri);
	if (r >= 0)
		r = remote_call(ctl, "Ping", CTL_CALL_TIMEOUT_USEC, NULL, "");
	if (r < 0 && ctl->error_code && streq(ctl->error_code, "Disconnected"))
		return ctl_set_error(ctl, "Connect", "cannot connect to '%s': %s", uri,
			ssh ? "ssh ended; vmctl and vmmd must be there, and you must be let in"
				: link->tls ? remote_tls_why(link->tls)
					    : "the connection was closed");
	return r;
}

const struct remote_ops remote_rpc_ops = {
	.connect = rpc_connect,
	.call = rpc_call,
	.post = rpc_post,
	.disconnect = rpc_disconnect,
};

struct pump *remote_rpc_pump(const struct ctl *ctl)
{
	return ctl->rpc && ctl->rpc->stream ? remote_stream_pump(ctl->rpc->stream) : NULL;
}

uint64_t remote_rpc_epoch_ns(const struct ctl *ctl)
{
	return ctl->rpc && ctl->rpc->stream ? remote_stream_epoch_ns(ctl->rpc->stream) : 0;
}

int remote_rpc_end_stream(struct ctl *ctl)
{
	struct rpc_link *link = ctl->rpc;
	const char *why;
	int r;

	if (!link || !link->stream)
		return 0;
	r = remote_stream_finish(link->stream, &why);
	if (r < 0)
		(void)ctl_set_error(ctl, r == -ECONNRESET ? "Disconnected" : "OperationFailed",
			"%s%s", r == -ECONNRESET ? "internal error: " : "the stream ended: ", why);
	link->stream = remote_stream_free(link->stream);
	return r;
}

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

	*ret_message = kept_take(&link->kept);
	if (*ret_message)
		return 1;
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
