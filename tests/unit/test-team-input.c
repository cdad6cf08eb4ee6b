/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What comes in over a team, and what is announced when addresses move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/fakes/fake-team.h"

static uint8_t stranger[NET_MAC_LEN] = {0x52, 0x54, 0, 0, 0xd0, 0};

static bool delivered(struct fake_team *ft, unsigned member, uint32_t to)
{
	uint8_t mac[NET_MAC_LEN];
	struct team_verdict v;

	fake_mac(to, mac);
	v = fake_team_receive(ft, member, mac, stranger, 0);
	assert_true(
		v.kind == TEAM_DELIVER || (v.kind == TEAM_DROP && v.reason == NET_DROP_DUPLICATE));
	return v.kind == TEAM_DELIVER;
}

/* T13: also for static LAGs. */
static void test_reflected(void **state)
{
	struct fake_team ft;
	uint8_t mac[NET_MAC_LEN];
	struct team_verdict v;

	(void)state;
	for (unsigned policy = NET_TEAM_PORT_ID; policy < NET_TEAM_POLICY_X_MAX; policy++) {
		fake_team_up(&ft, policy, 2);
		fake_team_add_port(&ft, 1, 5);
		fake_mac(1, mac);
		for (unsigned i = 0; i < 2; i++) {
			v = fake_team_receive(&ft, i, fake_broadcast, mac, 5);
			assert_int_equal(v.kind, TEAM_DROP);
			assert_int_equal(v.reason, NET_DROP_REFLECTED);
		}
		/* In another VLAN it is somebody else. */
		v = fake_team_receive(&ft, 0, fake_broadcast, mac, 6);
		assert_int_equal(v.kind, TEAM_DELIVER);
		fake_team_done(&ft);
	}
}

static void test_refused(void **state)
{
	struct fake_team ft;
	struct frame f;

	(void)state;
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	fake_frame(&f, fake_broadcast, stranger, 0, 1);
	assert_int_equal(team_input(ft.team, 5, &f, ft.now_ns).reason, NET_DROP_LINK_DOWN);
	fake_team_link(&ft, 0, false);
	assert_int_equal(team_input(ft.team, 0, &f, ft.now_ns).reason, NET_DROP_LINK_DOWN);
	assert_int_equal(team_input(ft.team, 1, &f, ft.now_ns).kind, TEAM_DELIVER);
	f.flags |= FRAME_RESERVED;
	assert_int_equal(team_input(ft.team, 1, &f, ft.now_ns).reason, NET_DROP_RESERVED);
	fake_team_done(&ft);
}

/* The designated member is another one as soon as it fails, or hears nothing of what others hear. */
static void test_designated(void **state)
{
	struct fake_team ft;
	unsigned n = 0;

	(void)state;
	fake_team_up(&ft, NET_TEAM_PORT_ID, 3);
	assert_int_equal(fake_team_receive(&ft, 0, fake_broadcast, stranger, 0).kind, TEAM_DELIVER);
	assert_int_equal(
		fake_team_receive(&ft, 1, fake_broadcast, stranger, 0).reason, NET_DROP_DUPLICATE);
	fake_team_link(&ft, 0, false);
	assert_int_equal(fake_team_receive(&ft, 1, fake_broadcast, stranger, 0).kind, TEAM_DELIVER);
	assert_int_equal(
		fake_team_receive(&ft, 2, fake_broadcast, stranger, 0).reason, NET_DROP_DUPLICATE);
	/* Deaf, but its link is up. */
	for (unsigned i = 0; i < 10; i++) {
		ft.now_ns += 500 * NSEC_PER_MSEC;
		n += fake_team_receive(&ft, 2, fake_broadcast, stranger, 0).kind == TEAM_DELIVER;
	}
	assert_true(n >= 7 && n < 10);
	fake_team_done(&ft);
}

/* T15 */
static void test_unicast_once(void **state)
{
	struct fake_team ft;

	(void)state;
	for (unsigned k = 0; k < 3; k++) {
		static const enum net_team_policy policies[] = {
			NET_TEAM_PORT_ID, NET_TEAM_EXPLICIT, NET_TEAM_SRC_MAC};

		fake_team_up(&ft, policies[k], 3);
		for (uint32_t i = 0; i < 16; i++)
			fake_team_add_port(&ft, i, 0);
		fake_team_run_ms(&ft, 2000);
		for (unsigned i = 0; i < 3; i++)
			(void)fake_team_receive(&ft, i, fake_broadcast, stranger, 0);
		for (uint32_t i = 0; i < 16; i++) {
			unsigned n = 0;

			for (unsigned m = 0; m < 3; m++) {
				bool here = delivered(&ft, m, i);

				n += here;
				if (here)
					assert_int_equal(fake_team_send(&ft, i, 1), m);
			}
			assert_int_equal(n, 1);
			/* Nobody's, or behind a port that learns: by the designated one. */
			for (unsigned m = 0; m < 3; m++)
				assert_int_equal(delivered(&ft, m, 0xc000 + i), m == 0);
		}
		fake_team_done(&ft);
	}
}

/* After a move, frames still come the old way for a while: the switch does not know better. */
static void test_grace(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	fake_team_add_port(&ft, 1, 0);
	fake_team_run_ms(&ft, 700000);
	fake_team_link(&ft, 0, false);
	fake_team_link(&ft, 0, true);
	fake_team_run_ms(&ft, 4999);
	assert_false(delivered(&ft, 0, 1));
	fake_team_run_ms(&ft, 2);
	assert_int_equal(fake_team_send(&ft, 1, 1), 0);
	assert_true(delivered(&ft, 0, 1));
	assert_true(delivered(&ft, 1, 1));
	fake_team_run_ms(&ft, 998);
	assert_true(delivered(&ft, 1, 1));
	fake_team_run_ms(&ft, 2);
	assert_false(delivered(&ft, 1, 1));
	assert_true(delivered(&ft, 0, 1));
	fake_team_done(&ft);
}

/* A frame by the wrong way: the switch is told the right one, at most once a second. */
static void test_stray(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	fake_team_add_port(&ft, 1, 0);
	for (unsigned i = 0; i < 10; i++)
		assert_false(delivered(&ft, 1, 1));
	fake_team_run_ms(&ft, 900);
	assert_false(delivered(&ft, 1, 1));
	fake_team_run_ms(&ft, 50);
	assert_int_equal(ft.n_sent, 1);
	assert_int_equal(ft.sent[0].member, 0);
	assert_int_equal(ft.sent[0].ethertype, 0x8035);
	fake_team_run_ms(&ft, 100);
	assert_false(delivered(&ft, 1, 1));
	fake_team_run_ms(&ft, 10000);
	assert_int_equal(ft.n_sent, 2);
	fake_team_done(&ft);
}

/* T12: each address that moved, in its VLAN, at 0, 50, 150, 300 and 500 ms; no other. */
static void test_notify(void **state)
{
	static const uint64_t times_ms[] = {0, 50, 150, 300, 500};
	struct fake_team ft;
	unsigned seen[4] = {0};
	uint64_t begin;
	bool moved[4];

	(void)state;
	fake_team_up(&ft, NET_TEAM_PORT_ID, 2);
	for (uint32_t i = 0; i < 4; i++) {
		fake_team_add_port(&ft, i, (uint16_t)(i * 100));
		moved[i] = fake_team_send(&ft, i, 1) == 1;
	}
	fake_team_clear(&ft);
	begin = ft.now_ns;
	fake_team_link(&ft, 1, false);
	assert_int_equal(ft.report.macs_announced, 2);
	fake_team_run_ms(&ft, 5000);
	assert_int_equal(ft.n_sent, 10);
	for (unsigned i = 0; i < ft.n_sent; i++) {
		const struct fake_sent *s = &ft.sent[i];
		uint8_t mac[NET_MAC_LEN];
		uint32_t port = s->head[11];

		assert_true(port < 4 && moved[port]);
		fake_mac(port, mac);
		assert_int_equal(s->member, 0);
		assert_int_equal(s->ethertype, 0x8035);
		assert_int_equal(s->tci, port ? (int)port * 100 : -1);
		assert_int_equal(s->len, 60);
		assert_memory_equal(s->head, fake_broadcast, NET_MAC_LEN);
		assert_memory_equal(s->head + 6, mac, NET_MAC_LEN);
		assert_memory_equal(s->head + 12, "\x80\x35\0\1\x08\0\x06\x04\0\x03", 10);
		assert_memory_equal(s->head + 22, mac, NET_MAC_LEN);
		assert_memory_equal(s->head + 32, mac, NET_MAC_LEN);
		assert_true(s->at_ns - begin == times_ms[seen[port]++] * NSEC_PER_MSEC);
	}
	assert_true(team_deadline(ft.team) == UINT64_MAX);
	fake_team_done(&ft);
}

/* Never more than 1000 in a second, and all of them in the end. */
static void test_notify_pace(void **state)
{
	static struct fake_team ft;
	unsigned counts[200] = {0};

	(void)state;
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	for (uint32_t i = 0; i < 200; i++)
		fake_team_add_port(&ft, i, 0);
	ft.ip.family = 4;
	ft.ip.bytes[0] = 10;
	fake_team_clear(&ft);
	fake_team_link(&ft, 0, false);
	fake_team_run_ms(&ft, 10000);
	assert_int_equal(ft.n_sent, 200 * 5 * 2);
	for (unsigned i = 0; i < ft.n_sent; i++) {
		counts[ft.sent[i].head[11]]++;
		/* A reply's frames go together. */
		if (i >= 1002)
			assert_true(ft.sent[i].at_ns - ft.sent[i - 1002].at_ns >= NSEC_PER_SEC);
	}
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(counts[i], 10);
	/* The first round is over before the second one is far. */
	assert_true(ft.sent[400].at_ns - ft.sent[0].at_ns < NSEC_PER_SEC / 2);
	fake_team_done(&ft);
}

static uint16_t checksum(const uint8_t *bytes, unsigned len, uint32_t sum)
{
	for (unsigned i = 0; i < len; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* IP addresses that are known are announced as well. */
static void test_notify_ip(void **state)
{
	struct fake_team ft;
	const struct fake_sent *s = &ft.sent[1];

	(void)state;
	for (unsigned family = 4; family <= 6; family += 2) {
		fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
		fake_team_add_port(&ft, 1, 7);
		ft.ip.family = (uint8_t)family;
		for (unsigned i = 0; i < 16; i++)
			ft.ip.bytes[i] = (uint8_t)(0x20 + i);
		fake_team_link(&ft, 0, false);
		fake_team_run_ms(&ft, 10);
		assert_int_equal(ft.n_sent, 2);
		assert_int_equal(s->tci, 7);
		if (family == 4) {
			assert_int_equal(s->ethertype, 0x0806);
			assert_memory_equal(s->head + 28, ft.ip.bytes, 4);
			assert_memory_equal(s->head + 38, ft.ip.bytes, 4);
		} else {
			assert_int_equal(s->ethertype, 0x86dd);
			assert_int_equal(s->len, 86);
			assert_memory_equal(s->head, "\x33\x33\0\0\0\1", 6);
			assert_int_equal(s->head[54], 136);
			assert_memory_equal(s->head + 62, ft.ip.bytes, 16);
			assert_memory_equal(s->head + 80, s->head + 6, 6);
			/* With the pseudo-header, and its own field in it, it is all ones. */
			assert_int_equal(checksum(s->head + 22, 64, 32 + 58), 0xffff);
		}
		fake_team_done(&ft);
	}
}

/* None where the switch knows the team, none if it is not wanted, none for a guest that has gone. */
static void test_notify_none(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_up(&ft, NET_TEAM_IP_HASH, 2);
	fake_team_add_port(&ft, 1, 0);
	fake_team_link(&ft, 0, false);
	fake_team_run_ms(&ft, 1000);
	assert_int_equal(ft.n_sent, 0);
	assert_int_equal(ft.report.macs_announced, 0);
	fake_team_done(&ft);

	fake_team_init(&ft, NET_TEAM_EXPLICIT, 2);
	ft.config.no_notify = 1;
	fake_team_start(&ft);
	fake_team_add_port(&ft, 1, 0);
	fake_team_link(&ft, 0, true);
	fake_team_run_ms(&ft, 1000);
	assert_int_equal(ft.n_sent, 0);
	fake_team_done(&ft);

	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	fake_team_add_port(&ft, 1, 0);
	fake_team_link(&ft, 0, false);
	fake_team_run_ms(&ft, 60);
	assert_int_equal(ft.n_sent, 2);
	team_port_removed(ft.team, 1);
	ft.n_locals = 0;
	fake_team_run_ms(&ft, 1000);
	assert_int_equal(ft.n_sent, 2);
	assert_true(team_deadline(ft.team) == UINT64_MAX);
	fake_team_done(&ft);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reflected),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_designated),
		cmocka_unit_test(test_unicast_once),
		cmocka_unit_test(test_grace),
		cmocka_unit_test(test_stray),
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_notify_pace),
		cmocka_unit_test(test_notify_ip),
		cmocka_unit_test(test_notify_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
