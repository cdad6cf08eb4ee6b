/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A link that is polled: its peer is a bare ring, the loop has a fake clock. What links do otherwise: test-fabric.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/net/link.h"
#include "tests/fakes/fake-port.h"

#define RING    RING_MIN_DATA
#define POLL_NS UINT64_C(20000)

struct fixture {
	struct loop *loop;
	struct vswitch *sw;
	struct links links;
	struct link link;
	struct net_port_counters counters;
	struct fake_port guest;
	struct ring peer;
	int bell; /* the link's own */
	bool broken;
};

static void on_broken(void *opaque, struct link *link)
{
	struct fixture *fx = opaque;

	(void)link;
	fx->broken = true;
}

static const struct links_ops links_ops = {.broken = on_broken};

static int make_file(int *ret_reader)
{
	int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char path[64];

	assert_int_equal(ftruncate(fd, RING_FILE_SIZE(RING)), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*ret_reader = open(path, O_RDONLY | O_CLOEXEC);
	return fd;
}

static int setup(void **state)
{
	const struct vswitch_config config = {.seed = {1, 2}};
	struct net_port_config guest = {0};
	struct fixture *fx = calloc(1, sizeof(*fx));
	int ours, ours_read, theirs, theirs_read;
	struct link_fds fds;

	assert_int_equal(loop_new_fake(0, &fx->loop), 0);
	assert_int_equal(vswitch_new(&config, NULL, NULL, &fx->sw), 0);
	links_init(&fx->links, fx->loop, fx->sw, POLL_NS, &links_ops, fx);
	fake_port_init(&fx->guest, PORT_VNIC, 1);
	fake_mac(1, guest.mac);
	assert_int_equal(vswitch_add(fx->sw, &fx->guest.port, &guest), 0);
	ours = make_file(&ours_read);
	theirs = make_file(&theirs_read);
	assert_int_equal(ring_open(&fx->peer, theirs, ours_read, RING), 0);
	fx->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds = (struct link_fds){ours, theirs_read, dup(fx->bell), eventfd(0, EFD_NONBLOCK)};
	fx->link.port = (struct port){.kind = PORT_UPLINK, .counters = &fx->counters};
	assert_int_equal(link_open(&fx->link, &fx->links, 1, RING, &fds), 0);
	assert_int_equal(
		vswitch_add(fx->sw, &fx->link.port, &(const struct net_port_config){0}), 0);
	(void)close(theirs);
	(void)close(ours_read);
	*state = fx;
	return 0;
}

static void close_link(struct fixture *fx)
{
	vswitch_remove(fx->sw, &fx->link.port);
	link_close(&fx->link);
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	if (fx->link.links)
		close_link(fx);
	vswitch_remove(fx->sw, &fx->guest.port);
	links_done(&fx->links);
	vswitch_free(fx->sw);
	ring_close(&fx->peer);
	(void)close(fx->bell);
	loop_free(fx->loop);
	free(fx);
	return 0;
}

/* The peer sends. True: it had to ring the bell, and did. */
static bool peer_sends(struct fixture *fx)
{
	static struct fake_frame f;
	struct ring_meta meta = {0};
	uint64_t one = 1;
	uint8_t to[NET_MAC_LEN], from[NET_MAC_LEN];

	fake_mac(1, to);
	fake_mac(2, from);
	(void)fake_frame(&f, to, from, -1, 0x88b6, NULL, 50);
	assert_int_equal(ring_put(&fx->peer, &meta, &f.iov, 1, f.len), 0);
	if (!ring_publish(&fx->peer))
		return false;
	assert_int_equal(write(fx->bell, &one, sizeof(one)), sizeof(one));
	return true;
}

/* The first come by the bell, one shortly after the other. */
static void come_to_rest(struct fixture *fx)
{
	for (unsigned i = 0; i < 2; i++) {
		assert_true(peer_sends(fx));
		assert_int_equal(loop_run_once(fx->loop, LOOP_NEVER), 1);
		assert_int_equal(fake_port_new(&fx->guest), 1);
	}
}

static void test_no_bell_for_a_poller(void **state)
{
	struct fixture *fx = *state;

	come_to_rest(fx);
	for (unsigned i = 0; i < 100; i++) {
		assert_false(peer_sends(fx));
		assert_int_equal(loop_run_once(fx->loop, LOOP_NEVER), 1);
		assert_int_equal(fake_port_new(&fx->guest), 1);
		assert_int_equal(fx->guest.n_flushes, i + 3);
	}
	/* It sleeps: and then it has asked. */
	assert_int_equal(loop_run_once(fx->loop, NSEC_PER_MSEC), 0);
	assert_true(peer_sends(fx));
	assert_int_equal(loop_run_once(fx->loop, LOOP_NEVER), 1);
	assert_int_equal(fake_port_new(&fx->guest), 1);
	assert_false(fx->broken);
}

/* The guest has no room: that is not waited for by looking into the ring. */
static void test_blocked(void **state)
{
	struct fixture *fx = *state;
	unsigned n_tries;

	come_to_rest(fx);
	fx->links.patient = true;
	fx->guest.answer = -EAGAIN;
	assert_false(peer_sends(fx));
	assert_int_equal(loop_run_once(fx->loop, LOOP_NEVER), 1);
	n_tries = fx->guest.n_tries;
	assert_int_equal(loop_run_once(fx->loop, NSEC_PER_MSEC), 0);
	assert_int_equal(fx->guest.n_tries, n_tries);
	/* It is awake all the same, as the peer sees it. */
	assert_false(peer_sends(fx));
	fx->guest.answer = 0;
	links_retry(&fx->links);
	assert_int_equal(fake_port_new(&fx->guest), 2);
}

/* The peer breaks its ring, or the link goes, while it rests. */
static void test_gone(void **state)
{
	struct fixture *fx = *state;

	come_to_rest(fx);
	atomic_store(&fx->peer.own->tail, fx->peer.tail + 2 * RING);
	assert_int_equal(loop_run_once(fx->loop, NSEC_PER_MSEC), 1);
	assert_true(fx->broken);
	assert_int_equal(loop_run_once(fx->loop, NSEC_PER_MSEC), 0);
}

static void test_closed(void **state)
{
	struct fixture *fx = *state;

	come_to_rest(fx);
	close_link(fx);
	memset(&fx->link, 0xa5, sizeof(fx->link));
	fx->link.links = NULL;
	assert_int_equal(loop_run_once(fx->loop, NSEC_PER_MSEC), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_bell_for_a_poller),
		TEST(test_blocked),
		TEST(test_gone),
		TEST(test_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
