/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmmd as a side of bench-daemons (daemons.h): the daemon, and a client of its JSON-RPC. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/daemons.h"
#include "vmm-core/base/strutil.h"

#define WINDOW 64U

static struct client main_client, events, stalled = {.fd = -1};

pid_t vmmd_spawn(void)
{
	char state[300], run[300], log[300];
	pid_t pid = fork();

	if (pid)
		return pid;
	(void)signal(SIGCHLD, SIG_DFL);
	(void)snprintf(state, sizeof(state), "%s/vmmd-state", bench.dir);
	(void)snprintf(run, sizeof(run), "%s/vmmd-run", bench.dir);
	(void)snprintf(log, sizeof(log), "%s/vmmd.log", bench.dir);
	(void)!freopen(log, "a", stderr);
	(void)execl(bench.vmmd, bench.vmmd, "--session", "--state-dir", state, "--runtime-dir", run,
		"--worker", bench.worker, "--log-level", "warning", NULL);
	_exit(127);
}

static int connect_to(struct client *c)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/vmmd-run/rpc.sock", bench.dir);
	return client_open(c, path);
}

static void call_domain(struct client *c, const char *method, const char *name)
{
	char params[64];

	(void)snprintf(params, sizeof(params), "{\"domain\":\"%s\"}", name);
	json_object_put(client_call(c, method, params));
}

static void rpc_open(void)
{
	if (connect_to(&main_client) < 0)
		die("vmmd: cannot connect");
}

static void rpc_close(void)
{
	client_close(&main_client);
}

static void client_define(struct client *c, const struct bench_domain *d)
{
	struct json_object *params = json_object_new_object();
	char xml[2048];

	bench_xml(d, true, xml, sizeof(xml));
	json_object_object_add(params, "xml", json_object_new_string(xml));
	json_object_put(client_call(c, "DefineDomain", json_object_to_json_string(params)));
	json_object_put(params);
}

static void rpc_define(const struct bench_domain *d)
{
	client_define(&main_client, d);
}

static void rpc_undefine(const struct bench_domain *d)
{
	call_domain(&main_client, "UndefineDomain", d->name);
}

static void rpc_start(const struct bench_domain *d)
{
	call_domain(&main_client, "StartDomain", d->name);
}

static void rpc_destroy(const struct bench_domain *d)
{
	call_domain(&main_client, "DestroyDomain", d->name);
}

/* Other events are passed over. */
static void wait_started(const char *name)
{
	char want[64];
	size_t len;

	(void)snprintf(want, sizeof(want), "\"name\":\"%s\"", name);
	for (;;) {
		const char *line = client_line(&events, &len);

		if (strstr(line, want) && strstr(line, "\"detail\":\"Started\""))
			return;
	}
}

static double rpc_run(const struct bench_domain *d)
{
	double begin;

	if (connect_to(&events) < 0)
		die("vmmd: cannot connect");
	json_object_put(client_call(&events, "rpc.subscribe", "{\"events\":[\"lifecycle\"]}"));
	begin = now_ms();
	rpc_define(d);
	rpc_start(d);
	wait_started(d->name);
	begin = now_ms() - begin;
	client_close(&events);
	return begin;
}

static void *thread_connect(void)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c || connect_to(c) < 0)
		die("vmmd: cannot connect");
	return c;
}

static void thread_disconnect(void *connection)
{
	client_close(connection);
	free(connection);
}

static void thread_define(unsigned first, unsigned n, void *connection)
{
	for (unsigned i = first; i < first + n; i++) {
		struct bench_domain d;

		bench_domain_init(&d, i, "halt");
		client_define(connection, &d);
	}
}

static double rpc_define_many(unsigned first, unsigned n, unsigned callers)
{
	return in_threads(first, n, callers, thread_define, thread_connect, thread_disconnect);
}

static void rpc_null(void)
{
	json_object_put(client_call(&main_client, "Ping", "{}"));
}

static double rpc_null_many(unsigned n)
{
	static const char ping[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"Ping\"}\n";
	char window[WINDOW * sizeof(ping)];
	unsigned sent = 0, got = 0;
	double begin = now_ms();
	size_t len;

	while (got < n) {
		unsigned more = MIN(n - sent, WINDOW / 2);

		/* Half a window is refilled when half of it has come. */
		if (sent - got <= WINDOW / 2 && more) {
			for (unsigned i = 0; i < more; i++)
				memcpy(window + i * (sizeof(ping) - 1), ping, sizeof(ping) - 1);
			client_send(&main_client, window, more * (sizeof(ping) - 1));
			sent += more;
		}
		if (!strstr(client_line(&main_client, &len), "\"result\""))
			die("vmmd: a Ping fails");
		got++;
	}
	return (now_ms() - begin) / 1e3;
}

static void rpc_info(const char *name)
{
	call_domain(&main_client, "GetDomain", name);
}

static size_t count(const char *method, const char *member)
{
	struct json_object *result = client_call(&main_client, method, "{}");
	size_t n = json_object_array_length(json_object_object_get(result, member));

	json_object_put(result);
	return n;
}

static size_t rpc_list(void)
{
	return count("ListDomainNames", "names");
}

static size_t rpc_list_all(void)
{
	return count("ListDomains", "domains");
}

static size_t rpc_stats(void)
{
	struct json_object *result =
		client_call(&main_client, "GetDomainStats", "{\"domains\":[]}");
	size_t n = json_object_array_length(json_object_object_get(result, "stats"));

	json_object_put(result);
	return n;
}

static int rpc_look(struct bench_seen *seen)
{
	struct json_object *result, *list;
	struct client c;

	if (connect_to(&c) < 0)
		return -ECONNREFUSED;
	result = client_call(&c, "ListDomains", "{}");
	list = json_object_object_get(result, "domains");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *d = json_object_array_get_idx(list, i);
		int n = bench_number(json_object_get_string(json_object_object_get(d, "uuid")));
		bool runs = streq(
			json_object_get_string(json_object_object_get(d, "state")), "running");

		seen->total++;
		seen->running += runs;
		if (n >= 0 && (unsigned)n < seen->n) {
			seen->defined[n] = true;
			seen->runs[n] = runs;
		}
	}
	json_object_put(result);
	client_close(&c);
	return 0;
}

/* It asks for the list, over and over, and takes nothing of it. */
static void rpc_stall(void)
{
	static const char list[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"GetDomainStats\","
				   "\"params\":{\"domains\":[]}}\n";

	if (connect_to(&stalled) < 0)
		die("vmmd: cannot connect");
	for (unsigned i = 0; i < 32; i++)
		client_send(&stalled, list, sizeof(list) - 1);
}

static void rpc_unstall(void)
{
	client_close(&stalled);
}

const struct side_ops side_rpc = {
	.name = "vmmd, JSON-RPC",
	.is_vmmd = true,
	.open = rpc_open,
	.close = rpc_close,
	.run = rpc_run,
	.define = rpc_define,
	.undefine = rpc_undefine,
	.start = rpc_start,
	.destroy = rpc_destroy,
	.define_many = rpc_define_many,
	.null = rpc_null,
	.null_many = rpc_null_many,
	.info = rpc_info,
	.list = rpc_list,
	.list_all = rpc_list_all,
	.stats = rpc_stats,
	.look = rpc_look,
	.stall = rpc_stall,
	.unstall = rpc_unstall,
};
