/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl by TLS, against the daemon's own server in a process beside it: calls, large ones, a console; addresses, where certificates are
 * looked for, and what is said when the server's, or ours, is not the right one. */
#include "rpc-fixture.h"
#include "tls-fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/wait.h>

#include "client/remote-tls.h"
#include "client/remote.h"
#include "daemon/rpc-tls.h"

static struct pki pki;
static char top[64], client_dir[96];
static unsigned port;
static pid_t server_pid;

/* The child: a daemon with domain 'a', until SIGTERM. */
static void serve(int listener)
{
	void *state;
	struct fixture *f;
	struct rpc *rpc;
	struct rpc_tls *tls;
	struct rpc_tls_options options = {.dir = pki.dir};
	char command[128];
	sigset_t mask;

	fixture_setup(&state);
	f = state;
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	assert_true(sd_event_add_signal(f->event, NULL, SIGTERM, NULL, NULL) >= 0);
	fixture_define(f, "a", "", "");
	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &rpc), 0);
	assert_int_equal(rpc_tls_new(rpc, &options, &tls), 0);
	assert_int_equal(rpc_tls_listen(tls, fcntl(listener, F_DUPFD_CLOEXEC, 3)), 0);
	(void)sd_event_loop(f->event);
	(void)rpc_tls_free(tls);
	(void)rpc_free(rpc);
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	(void)manager_free(f->manager);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	(void)!system(command);
}

static int listen_anywhere(unsigned *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 10), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* What the client has: a folder of its own, with 'plan' for its certificate. */
static void give_client(const struct pki_plan *plan)
{
	struct pki_pair pair = pki_make(&pki, plan);
	char server_dir[sizeof(pki.dir)];

	strcpy(server_dir, pki.dir);
	strcpy(pki.dir, client_dir);
	pki_write_crt(&pki, "ca.pem", pki.ca.crt);
	pki_write_crt(&pki, "client.pem", pair.crt);
	pki_write_key(&pki, "client-key.pem", pair.key);
	strcpy(pki.dir, server_dir);
	pki_pair_done(&pair);
}

static int setup(void **state)
{
	char dir[96];
	int listener;

	(void)state;
	strcpy(top, "/tmp/test-remote-tls-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/server", top);
	snprintf(client_dir, sizeof(client_dir), "%s/client", top);
	assert_int_equal(mkdir(client_dir, 0700), 0);
	pki_open(&pki, dir);
	pki_write_text(&pki, "roles", 0600, "cn:admin = administrator\n");
	give_client(&(struct pki_plan){.cn = "admin"});
	setenv("VMMD_TLS_DIR", client_dir, 1);
	listener = listen_anywhere(&port);
	fflush(NULL);
	server_pid = fork();
	if (server_pid == 0) {
		serve(listener);
		_exit(0);
	}
	close(listener);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	kill(server_pid, SIGTERM);
	waitpid(server_pid, NULL, 0);
	pki_done(&pki);
	snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command);
}

static const char *address_of(const char *host)
{
	static char uri[256];

	snprintf(uri, sizeof(uri), "tls://%s:%u", host, port);
	return uri;
}

static void test_calls(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = address_of("localhost")};
	_cleanup_(json_putp) struct json_object *name = NULL, *domain = NULL, *all = NULL;
	char *large = malloc(1500000);
	int fd = -EBADF;

	(void)state;
	if (remote_connect(&ctl) < 0)
		fail_msg("%s", ctl.error_message);
	assert_int_equal(remote_call_one(&ctl, "GetHostname", &name, ""), 0);
	assert_true(json_object_get_string_len(name) > 0);
	assert_int_equal(remote_call(&ctl, "rpc.discover", CTL_CALL_TIMEOUT_USEC, &all, ""), 0);
	assert_true(strlen(json_object_to_json_string(all)) > 50000);
	/* A request of many records. */
	memset(large, 'x', 1499999);
	large[1499999] = 0;
	assert_true(remote_get_domain(&ctl, large, &domain) < 0);
	assert_string_equal(ctl.error_code, "NoDomain");
	free(large);
	/* No descriptor comes this way: a stream does. */
	assert_int_equal(
		remote_call(&ctl, "StartDomain", CTL_CALL_TIMEOUT_USEC, NULL, "s", "a"), 0);
	if (remote_open_console(&ctl, "a", "", 0, &fd) < 0)
		fail_msg("%s", ctl.error_message);
	assert_true(fd >= 0);
	(void)remote_close(&ctl, fd);
	assert_int_equal(
		remote_call(&ctl, "DestroyDomain", CTL_CALL_TIMEOUT_USEC, NULL, "su", "a", 0), 0);
}

/* Connecting to 'uri' fails, with 'why' in its message. */
static void expect(const char *uri, const char *why)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = uri};

	if (remote_connect(&ctl) >= 0)
		fail_msg("%s works, and not '%s'", uri, why);
	assert_string_equal(ctl.error_code, "Connect");
	if (!strstr(ctl.error_message, why))
		fail_msg("'%s', not '%s'", ctl.error_message, why);
	if (strncmp(ctl.error_message, "cannot connect to 'tls://", 25) != 0)
		fail_msg("'%s' does not say to whom", ctl.error_message);
}

static void expect_works(const char *uri)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = uri};

	if (remote_connect(&ctl) < 0)
		fail_msg("%s", ctl.error_message);
}

static void test_addresses(void **state)
{
	static const char *const bad[] = {"tls://", "tls://:1", "tls://h:", "tls://h:0",
		"tls://h:01", "tls://h:65536", "tls://h:x", "tls://[::1", "tls://[::1]x",
		"tls://[]", "tls://h/x", "tls://h?x=y", "tls://h?tls_di=/x", "tls://h:123456"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect(bad[i], "give it as tls://HOST");
	expect_works(address_of("127.0.0.1"));
	expect("tls://[::1]:1", "cannot connect to 'tls://[::1]:1': ");
	expect("tls://127.0.0.1:1/", "Connection refused; does vmmd serve TLS there?");
	expect("tls://nothing.invalid", "nothing.invalid: ");
}

/* The address, then the environment, then the user's folder; and keys that others could have read. */
static void test_folders(void **state)
{
	char uri[256], path[192], home[128], command[512];

	(void)state;
	snprintf(uri, sizeof(uri), "tls://localhost:%u?tls_dir=/nonexistent", port);
	expect(uri, "/nonexistent/client-key.pem: No such file or directory");
	setenv("VMMD_TLS_DIR", "/nonexistent", 1);
	snprintf(uri, sizeof(uri), "tls://localhost:%u/?tls_dir=%s", port, client_dir);
	expect_works(uri);
	expect(address_of("localhost"), "/nonexistent/client-key.pem: ");
	unsetenv("VMMD_TLS_DIR");
	unsetenv("XDG_CONFIG_HOME");
	snprintf(home, sizeof(home), "%s/home", top);
	setenv("HOME", home, 1);
	expect(address_of("localhost"), "/etc/vmmd/tls/");
	snprintf(command, sizeof(command),
		"mkdir -p %s/.config/vmmd && cp -r %s %s/.config/vmmd/tls", home, client_dir, home);
	assert_int_equal(system(command), 0);
	expect_works(address_of("localhost"));
	snprintf(path, sizeof(path), "%s/.config/vmmd/tls/client-key.pem", home);
	assert_int_equal(chmod(path, 0640), 0);
	expect(address_of("localhost"), "client-key.pem can be read by others: chmod 600 it");
}

static void test_server_certificates(void **state)
{
	static const struct {
		struct pki_plan plan;
		const char *why;
	} rows[] = {
		{{.dns = "localhost", .server = true, .other_ca = true},
			"the certificate of localhost is not of a CA in ca.pem"},
		{{.dns = "localhost", .server = true, .from_days = -9, .to_days = -2},
			"the certificate of localhost has expired"},
		{{.dns = "localhost", .server = true, .from_days = 2, .to_days = 9},
			"the certificate of localhost is not valid yet"},
		{{.dns = "localhost"}, "the certificate of localhost is not for servers"},
		{{.dns = "other.example", .cn = "localhost", .server = true},
			"the certificate of localhost is not for this name"},
	};

	(void)state;
	expect(address_of("127.0.0.2"), "the certificate of 127.0.0.2 is not for this name");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		pki_write_pair(&pki, "server", &rows[i].plan);
		expect(address_of("localhost"), rows[i].why);
	}
}

static void test_own_certificates(void **state)
{
	static const struct {
		struct pki_plan plan;
		const char *why;
	} rows[] = {
		{{.cn = "stranger"},
			"vmmd refused the certificate: no line of 'roles' names the certificate"},
		{{.cn = "admin", .other_ca = true},
			"vmmd refused the certificate: it is not of vmmd's CA"},
		{{.cn = "admin", .from_days = -9, .to_days = -2},
			"vmmd refused the certificate: it has expired"},
		{{.cn = "admin", .server = true},
			"vmmd refused the certificate: it is not for clients"},
	};
	struct pki_pair pair;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		give_client(&rows[i].plan);
		expect(address_of("localhost"), rows[i].why);
	}
	pair = pki_make(&pki, &(struct pki_plan){.cn = "admin"});
	pki_write_crl(&pki, pair.crt, 30);
	pki_pair_done(&pair);
	/* Its serial number is the next one; the same as that of who is revoked. */
	pki.serial--;
	give_client(&(struct pki_plan){.cn = "admin"});
	expect(address_of("localhost"), "vmmd refused the certificate: it was revoked");
}

/* One that answers in clear, one that hangs up, and one that never answers. */
static void test_other_servers(void **state)
{
	static const struct {
		const char *says; /* NULL: nothing */
		bool hangs_up;
		const char *why;
	} rows[] = {
		{"220 mail.example ESMTP\r\n", false, "the other side does not speak TLS"},
		{NULL, true, "the connection was closed"},
		{NULL, false, "vmmd does not finish the handshake in time"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char uri[64];
		unsigned at;
		int listener = listen_anywhere(&at);
		pid_t pid = fork();

		if (pid == 0) {
			int fd = accept(listener, NULL, NULL);
			char hello[4096];

			(void)!read(fd, hello, sizeof(hello));
			if (rows[i].says)
				(void)!write(fd, rows[i].says, strlen(rows[i].says));
			if (!rows[i].hangs_up)
				pause();
			_exit(0);
		}
		close(listener);
		snprintf(uri, sizeof(uri), "tls://localhost:%u", at);
		remote_tls_handshake_usec =
			rows[i].says || rows[i].hangs_up ? UINT64_C(60000000) : UINT64_C(50000);
		expect(uri, rows[i].why);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	remote_tls_handshake_usec = UINT64_C(60000000);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_calls),
		CASE(test_addresses),
		CASE(test_folders),
		CASE(test_server_certificates),
		CASE(test_own_certificates),
		CASE(test_other_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
