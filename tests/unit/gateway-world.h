/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Gateways with the real programs, in network namespaces of the test's own:
 *
 *	guest: eth0 ─ shuttle ─ tap of the gateway … "host" (the test's namespace): h0 203.0.113.2 ─ w0 203.0.113.1: world
 *
 * Needs root, /dev/net/tun, and the programs of scripts/setup: world_missing() says what is not there.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "daemon/gateway-internal.h"
#include "tests/unit/gateway-fixture.h"

#define WORLD_WAIT_USEC (60 * UINT64_C(1000000))
#define WORLD_GUEST_MAC "52:54:00:00:00:05"

struct world {
	char dir[64];
	sd_event *event;
	struct gateway *gateway;
	struct gateway_place place;
	char runtime[96], state[96];
	unsigned n_ready, n_failed, n_leases, n_gone, n_started;
	int tap_fd;
	struct error error;
	pid_t outside, guest, servers[16];
	unsigned n_servers;
};

extern const struct gateway_ops world_ops;

/* cmocka's: make it, and take it away with whatever a test that failed halfway has left. */
int world_setup(void **state);
int world_teardown(void **state);
/* What cannot be had here, or NULL. */
const char *world_missing(void);

/* A command of the shell: its status; what it says, in a static buffer; the same while the gateway's loop goes on. */
_printf_(1, 2) int sh(const char *format, ...);
_printf_(1, 2) char *output(const char *format, ...);
_printf_(2, 3) const char *ask(struct world *w, const char *format, ...);
/* "nsenter … " into the namespace of a child. */
const char *in(pid_t pid);

/* One turn of the loop. */
void turn(struct world *w, uint64_t usec);
uint64_t now_usec(void);
#define RUN_UNTIL(w, condition)                                                                    \
	do {                                                                                       \
		uint64_t start_ = now_usec();                                                      \
                                                                                                   \
		while (!(condition)) {                                                             \
			turn(w, 20000);                                                            \
			if (now_usec() - start_ > WORLD_WAIT_USEC)                                 \
				fail_msg("%s: not within %u s (%s)", #condition,                   \
					(unsigned)(WORLD_WAIT_USEC / 1000000),                     \
					(w)->error.message);                                       \
		}                                                                                  \
	} while (0)

/* Start the gateway, and a guest on its tap. */
void start(struct world *w, const struct gateway_config *config);
pid_t pid_of(const struct world *w, enum gateway_process_kind kind);
void show_log(struct world *w);
void end_child(pid_t *pid);
void end_servers(struct world *w);
/* Kill a process and wait for the next one. */
void kill_and_wait(struct world *w, enum gateway_process_kind kind);
/* gateway_new() goes on to fail with this in its message, and leaves nothing. */
void expect_failure(struct world *w, const struct gateway_config *config, const char *want);

void expect_text(struct world *w, const char *got, const char *want, const char *file, int line);
#define EXPECT(w, want, ...) expect_text(w, ask(w, __VA_ARGS__), want, __FILE__, __LINE__)

/* The guest asks for an address by DHCP, and takes what it is given, which is to be this router ("": none); IPv6 it is
 * told. */
void get_address(struct world *w, const char *router);
/* A server in the namespace of 'where'; it ends with the test. Returns its pid. */
_printf_(3, 4) pid_t serve(struct world *w, pid_t where, const char *format, ...);
#define SOCAT(address, what) "socat " address ",fork,reuseaddr SYSTEM:'" what "' </dev/null"

/* A network of both families with a host of DHCP and names; 'kind' decides what its ports and resolvers are. */
struct gateway_config *world_config(enum gateway_kind kind);
/* Outside: 7000 says who connects, 7001 answers the end of what it is sent, DNS. In the guest: 80 TCP and 5353 UDP. */
void start_servers(struct world *w);
void check_dns(struct world *w);
/* By the port forwards: from outside, from the host, from the guest itself. */
void check_forwards(struct world *w);
/* Free the gateway: no process, no namespace and no file is left, but leases. */
void check_nothing_left(struct world *w);

#define GET "%s sh -c 'sleep 0.2 | timeout 5 socat -t 2 - %s'"
/* The same without patience. */
#define TRY "%s timeout 2 socat -t 1 - %s </dev/null"
#define HOST_STATE                                                                                 \
	"nft list ruleset; ip addr; ip rule; ip -6 rule; ip route show table all; "                \
	"ip -6 route show table all; cat /proc/sys/net/ipv4/ip_forward "                           \
	"/proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv4/conf/all/route_localnet "       \
	"/proc/sys/net/ipv4/conf/all/rp_filter"

#define WORLD_TEST(function) cmocka_unit_test_setup_teardown(function, world_setup, world_teardown)
#define WORLD_MAIN(tests)                                                                          \
	do {                                                                                       \
		const char *missing_ = world_missing();                                            \
                                                                                                   \
		if (missing_) {                                                                    \
			printf("skipped: needs %s\n", missing_);                                   \
			return 77;                                                                 \
		}                                                                                  \
		return cmocka_run_group_tests(tests, NULL, NULL);                                  \
	} while (0)
