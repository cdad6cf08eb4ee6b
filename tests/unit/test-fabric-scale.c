/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many machines on one network, with the code of all their workers and of the network's on one loop: everybody reaches everybody,
 * once; and whoever never takes his frames, pauses or dies costs the others nothing but what they send to him.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "tests/unit/fabric-fixture.h"

/* Pages of a ring that was used and is quiet: the words, and what is in front of a rewind. */
#define QUIET_RING (4096 + RING_REWIND_AFTER + 8192)

static void grow(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!w->vms[i].nic)
			assert_int_equal(link_star(w, add_vm(w, i, NULL)), 0);
}

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Frames say who sent them and to whom. */
static uint32_t number_of(unsigned from, unsigned to)
{
	return (from + 1) << 16 | (to + 1);
}

static void all_pairs(struct world *w, unsigned n, unsigned except)
{
	for (unsigned from = 0; from < n; from++) {
		for (unsigned to = 0; to < n; to++)
			if (from != to && from != except)
				assert_int_equal(send_frame(&w->vms[from], w->vms[to].config.mac,
							 number_of(from, to), 100, false),
					0);
		nic_flush(w->vms[from].nic);
		settle_ms(w, 0);
	}
	settle(w);
}

/* Each of the first 'n' but 'except' was given one frame by each of the others, and none else. */
static void expect_all_pairs(struct world *w, unsigned n, unsigned except)
{
	for (unsigned to = 0; to < n; to++) {
		const struct vm *vm = &w->vms[to];
		bool from[MAX_VMS] = {false};

		if (to == except)
			continue;
		assert_int_equal(vm->n_seen, n - 1 - (except < n));
		for (unsigned i = 0; i < vm->n_seen; i++) {
			unsigned who = (vm->seen[i] >> 16) - 1;

			assert_int_equal(vm->seen[i] & 0xffff, to + 1);
			assert_true(who < n && who != to && !from[who]);
			from[who] = true;
		}
	}
}

static void expect_broadcasts(struct world *w, unsigned n)
{
	for (unsigned from = 0; from < n; from++) {
		forget(w);
		send_one(&w->vms[from], broadcast, number_of(from, MAX_VMS));
		settle_ms(w, 0);
		for (unsigned to = 0; to < n; to++)
			assert_int_equal(w->vms[to].n_seen, from != to);
	}
}

static void exchange(struct world *w, unsigned n)
{
	grow(w, n);
	forget(w);
	all_pairs(w, n, UINT32_MAX);
	expect_all_pairs(w, n, UINT32_MAX);
	expect_broadcasts(w, n);
	for (unsigned i = 0; i < n; i++)
		for (unsigned reason = 0; reason < NET_DROP_X_MAX; reason++)
			assert_int_equal(w->stats->ports[i + 1].rx_drops[reason] +
					w->stats->ports[i + 1].tx_drops[reason],
				0);
}

static void test_two(void **state)
{
	struct world *w = *state;

	(void)nic_free(w->vms[2].nic);
	w->vms[2].nic = NULL;
	assert_int_equal(network_port_remove(w->network, 3), 0);
	exchange(w, 2);
}

static void test_sixteen(void **state)
{
	exchange(*state, 16);
}

static void test_sixty_four(void **state)
{
	exchange(*state, 64);
}

/* What one more machine takes: four bells, of rings nothing but their mappings; and a quiet ring keeps a few pages warm. */
static void test_what_it_takes(void **state)
{
	struct world *w = *state;
	unsigned before = count_fds();
	struct ends e = make_ends();
	int fds[PROTO_LINK_FDS] = {e.own[0], e.peer[0], dup(e.bell[0]), dup(e.bell[1])};
	int rings[2] = {dup(e.own[0]), dup(e.own[1])};
	struct nic_link end = nic_end(&e, 1, NIC_STAR);
	struct vm *vm = add_vm(w, 3, NULL);
	struct proto_port message = {.port = vm->number, .ring_data = RING, .config = vm->config};

	assert_int_equal(network_port_add(w->network, &message, fds), 0);
	assert_int_equal(nic_link_add(vm->nic, &end), 0);
	close_bells(&e);
	assert_int_equal(count_fds(), before + 4 + 2);
	for (uint32_t i = 0; i < 3000; i++) {
		send_one(vm, w->vms[0].config.mac, i);
		send_one(&w->vms[0], vm->config.mac, i);
		settle_ms(w, 0);
	}
	assert_int_equal(vm->n_seen, 3000);
	for (unsigned i = 0; i < 2; i++) {
		struct stat st;

		assert_int_equal(fstat(rings[i], &st), 0);
		assert_in_range(st.st_blocks * 512, 1, QUIET_RING);
		close(rings[i]);
	}
	assert_int_equal(count_fds(), before + 4);
	/* And all of it comes back. */
	vm->nic = nic_free(vm->nic);
	assert_int_equal(network_port_remove(w->network, vm->number), 0);
	settle(w);
	assert_int_equal(count_fds(), before);
}

/* One of 64 takes nothing, for a while: its frames are given up, nobody else's are; afterwards it is as the others. */
static void test_one_pauses(void **state)
{
	struct world *w = *state;
	struct vm *slow;

	grow(w, 64);
	slow = &w->vms[17];
	slow->room = 0;
	/* More than both its rings hold. */
	for (uint32_t i = 0; i < 600; i++) {
		for (unsigned from = 0; from < 4; from++) {
			assert_int_equal(
				send_frame(&w->vms[from], slow->config.mac, i, 1514, true), 0);
			assert_int_equal(send_frame(&w->vms[from], w->vms[from + 4].config.mac, i,
						 100, true),
				0);
			nic_flush(w->vms[from].nic);
		}
		settle_ms(w, 0);
	}
	settle(w);
	for (unsigned to = 4; to < 8; to++)
		assert_int_equal(w->vms[to].n_seen, 600);
	assert_int_equal(slow->n_seen, 0);
	assert_true(w->stats->ports[slow->number].rx_drops[NET_DROP_FULL] > 0);
	forget(w);
	all_pairs(w, 64, 17);
	expect_all_pairs(w, 64, 17);
	/* It goes on. */
	slow->room = UINT32_MAX;
	nic_ready(slow->nic);
	settle(w);
	assert_true(slow->n_seen > 100);
	forget(w);
	all_pairs(w, 64, UINT32_MAX);
	expect_all_pairs(w, 64, UINT32_MAX);
}

/* One of 64 is gone, and nobody has told yet: its ring fills. */
static void test_one_dies(void **state)
{
	struct world *w = *state;
	struct vm *dead;

	grow(w, 64);
	dead = &w->vms[17];
	add_direct(dead, &w->vms[0], 5);
	assert_int_equal(nic_link_use(w->vms[0].nic, 5, true), 0);
	settle(w);
	dead->nic = nic_free(dead->nic);
	for (uint32_t i = 0; i < 600; i++) {
		/* By the direct link, and by the star. */
		for (unsigned from = 0; from < 2; from++)
			assert_int_equal(
				send_frame(&w->vms[from], dead->config.mac, i, 1514, true), 0);
		assert_int_equal(send_frame(&w->vms[0], w->vms[2].config.mac, i, 100, true), 0);
		assert_int_equal(send_frame(&w->vms[1], w->vms[3].config.mac, i, 100, true), 0);
		nic_flush(w->vms[0].nic);
		nic_flush(w->vms[1].nic);
		settle_ms(w, 0);
	}
	settle(w);
	assert_int_equal(w->vms[2].n_seen, 600);
	assert_int_equal(w->vms[3].n_seen, 600);
	/* What found no room is counted, at the sender for his own link, at the port that is gone for the star. */
	assert_true(w->vms[0].counters.tx_drops[NET_DROP_FULL] > 0);
	assert_true(w->stats->ports[dead->number].rx_drops[NET_DROP_FULL] > 0);
	/* The daemon has seen it. */
	assert_int_equal(nic_link_remove(w->vms[0].nic, 5), 0);
	assert_int_equal(network_port_remove(w->network, dead->number), 0);
	assert_int_equal(link_star(w, add_vm(w, 17, NULL)), 0);
	forget(w);
	all_pairs(w, 64, UINT32_MAX);
	expect_all_pairs(w, 64, UINT32_MAX);
}

/* One machine with a direct link to each of 63 others; the network's worker dies, and they go on. */
static void test_direct_links_to_all(void **state)
{
	struct world *w = *state;
	struct vm *hub = &w->vms[0];
	uint64_t through;

	grow(w, 64);
	for (unsigned i = 1; i < 64; i++) {
		add_direct(hub, &w->vms[i], i);
		assert_int_equal(nic_link_use(hub->nic, i, true), 0);
		assert_int_equal(nic_link_use(w->vms[i].nic, i, true), 0);
	}
	settle(w);
	through = w->stats->ports[1].tx_packets;
	forget(w);
	all_pairs(w, 64, UINT32_MAX);
	expect_all_pairs(w, 64, UINT32_MAX);
	assert_int_equal(w->stats->ports[1].tx_packets, through);
	/* Broadcasts still come once. */
	expect_broadcasts(w, 64);
	for (unsigned i = 1; i <= 64; i++)
		assert_int_equal(network_port_remove(w->network, i), 0);
	forget(w);
	for (unsigned i = 1; i < 64; i++) {
		send_one(hub, w->vms[i].config.mac, i);
		send_one(&w->vms[i], hub->config.mac, i);
	}
	settle(w);
	assert_int_equal(hub->n_seen, 63);
	for (unsigned i = 1; i < 64; i++)
		assert_int_equal(w->vms[i].n_seen, 1);
}

/* A peer that breaks the ring of a direct link loses that; the two go on by the star, everybody else by theirs. */
static void test_one_direct_link_breaks(void **state)
{
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1], *c = &w->vms[2];
	struct ends e = make_ends();
	struct nic_link end = nic_end(&e, 0, 7);
	struct ring_words *words =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, e.own[1], 0);
	uint64_t one = 1;

	assert_true(words != MAP_FAILED);
	end.peer = b->config;
	end.peer_port = b->number;
	assert_int_equal(nic_link_add(a->nic, &end), 0);
	add_direct(a, c, 8);
	assert_int_equal(nic_link_use(a->nic, 7, true), 0);
	assert_int_equal(nic_link_use(a->nic, 8, true), 0);
	settle(w);
	atomic_store(&words->tail, 1);
	assert_int_equal(write(e.bell[0], &one, sizeof(one)), sizeof(one));
	settle(w);
	send_one(a, b->config.mac, 1);
	send_one(a, c->config.mac, 2);
	settle(w);
	assert_int_equal(b->n_seen, 1);
	assert_int_equal(c->n_seen, 1);
	assert_int_equal(w->stats->ports[a->number].tx_packets, 1);
	(void)munmap(words, 4096);
	close(e.own[1]);
	close(e.peer[1]);
	close_bells(&e);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_two),
		TEST(test_sixteen),
		TEST(test_sixty_four),
		TEST(test_what_it_takes),
		TEST(test_one_pauses),
		TEST(test_one_dies),
		TEST(test_direct_links_to_all),
		TEST(test_one_direct_link_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
