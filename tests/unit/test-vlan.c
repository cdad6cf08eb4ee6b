/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VLANs of a port: every mode against every kind of tag, both ways. */
#include "devices/net/vlan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/fakes/fake-port.h"

#define REFUSED -2 /* in place of a VLAN, or of a tag */
#define NO_TAG  -1

static struct vlan make(const struct net_vlan *config, bool wire)
{
	struct vlan v;

	assert_int_equal(vlan_init(&v, config, wire), 0);
	return v;
}

static const struct net_vlan any = {0};
static const struct net_vlan access10 = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}};
static const struct net_vlan trunk = {.mode = NET_VLAN_TRUNK, .n_tags = 2, .tags = {20, 30}};
static const struct net_vlan native20 = {
	.mode = NET_VLAN_TRUNK, .n_tags = 2, .tags = {20, 30}, .native = 20};
static const struct net_vlan tagged20 = {
	.mode = NET_VLAN_TRUNK, .n_tags = 1, .tags = {30}, .native = 20, .native_tagged = 1};

static struct fake_frame buffer;

static struct frame *frame_with(int32_t tci)
{
	uint8_t dst[NET_MAC_LEN], src[NET_MAC_LEN];

	fake_mac(1, dst);
	fake_mac(2, src);
	return fake_frame(&buffer, dst, src, tci, 0x0800, NULL, 46);
}

/* V01 - V05: where frames belong that come in. */
static void test_ingress(void **state)
{
	static const struct {
		const struct net_vlan *config;
		bool wire;
		int32_t tci; /* of the frame */
		int vid;
	} rows[] = {
		{&any, false, NO_TAG, 0},
		{&any, false, 0x6000, 0}, /* priority tag */
		{&any, false, 10, 10},
		{&any, false, 0xe000 | NET_VID_MAX, NET_VID_MAX},
		{&any, false, 4095, REFUSED},
		{&access10, false, NO_TAG, 10},
		{&access10, false, 0x6000, 10},
		{&access10, false, 10, REFUSED},
		{&access10, false, 20, REFUSED},
		{&trunk, false, NO_TAG, REFUSED},
		{&trunk, false, 0x6000, REFUSED},
		{&trunk, false, 20, 20},
		{&trunk, false, 0x6000 | 30, 30},
		{&trunk, false, 10, REFUSED},
		{&trunk, false, 4095, REFUSED},
		{&native20, false, NO_TAG, 20},
		{&native20, false, 0x6000, 20},
		{&native20, false, 20, 20},
		{&native20, false, 30, 30},
		{&tagged20, false, NO_TAG, 20},
		{&tagged20, false, 20, 20},
		{&any, true, NO_TAG, 0},
		{&any, true, 10, 10},
		{&access10, true, NO_TAG, REFUSED},
		{&access10, true, 10, 10},
		{&native20, true, NO_TAG, REFUSED},
		{&native20, true, 20, 20},
		{&trunk, true, 10, REFUSED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vlan v = make(rows[i].config, rows[i].wire);
		uint16_t vid = 7777;
		bool in = vlan_ingress(&v, frame_with(rows[i].tci), &vid);

		assert_int_equal(in ? vid : REFUSED, rows[i].vid);
		if (!in)
			assert_int_equal(vid, 7777);
	}
}

/* V06 - V09: what goes out, with which tag. */
static void test_egress(void **state)
{
	static const struct {
		const struct net_vlan *config;
		bool wire;
		int32_t in_tci;
		uint16_t vid;
		int32_t tci;
	} rows[] = {
		{&any, false, NO_TAG, 0, NO_TAG},
		{&any, false, 0x6000, 0, 0x6000},
		{&any, false, NO_TAG, 10, 10},
		{&any, false, 0x7000 | 10, 10, 0x7000 | 10}, /* priority and drop eligibility */
		{&access10, false, NO_TAG, 10, NO_TAG},
		{&access10, false, 0x6000 | 10, 10, NO_TAG},
		{&access10, false, NO_TAG, 0, REFUSED},
		{&access10, false, 20, 20, REFUSED},
		{&trunk, false, NO_TAG, 20, 20},
		{&trunk, false, 0x6000, 30, 0x6000 | 30},
		{&trunk, false, 10, 10, REFUSED},
		{&native20, false, 20, 20, NO_TAG},
		{&native20, false, 30, 30, 30},
		{&tagged20, false, NO_TAG, 20, 20},
		{&access10, true, NO_TAG, 10, 10},
		{&native20, true, NO_TAG, 20, 20},
		{&any, true, 0x6000, 0, 0x6000},
		{&access10, true, 20, 20, REFUSED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vlan v = make(rows[i].config, rows[i].wire);
		struct frame *f = frame_with(rows[i].in_tci);
		int32_t tci = 7777;

		f->vid = rows[i].vid;
		assert_int_equal(vlan_egress(&v, f, &tci) ? tci : REFUSED, rows[i].tci);
	}
}

/* V10: a second tag never comes to the front where the sender could have chosen it. */
static void test_double_tag(void **state)
{
	static const uint8_t inner[50] = {0, 20, 8, 0};
	uint8_t dst[NET_MAC_LEN], src[NET_MAC_LEN];
	struct vlan v = make(&access10, false), open = make(&any, false);
	struct frame *f;
	uint16_t vid;
	int32_t tci;

	(void)state;
	fake_mac(1, dst);
	fake_mac(2, src);
	for (unsigned i = 0; i < 2; i++) {
		/* Priority-tagged, with VLAN 20 behind. */
		f = fake_frame(
			&buffer, dst, src, 0x2000, i ? 0x88a8 : 0x8100, inner, sizeof(inner));
		assert_true(vlan_ingress(&v, f, &vid));
		f->vid = vid;
		assert_int_equal(vid, 10);
		assert_false(vlan_egress(&v, f, &tci));
		v = make(&native20, false);
		f->vid = 20;
		assert_false(vlan_egress(&v, f, &tci));
		/* With a tag in front it is safe. */
		f->vid = 30;
		assert_true(vlan_egress(&v, f, &tci));
		assert_int_equal(tci, 0x2000 | 30);
		/* Where nothing is stripped it goes as it came. */
		f->vid = 0;
		assert_true(vlan_egress(&open, f, &tci));
		assert_int_equal(tci, 0x2000);
		v = make(&access10, false);
	}
}

static void test_members(void **state)
{
	struct vlan a = make(&any, false), v = make(&native20, false), w = make(&access10, false);

	(void)state;
	for (unsigned vid = 0; vid < 70000; vid++) {
		assert_int_equal(vlan_has(&a, vid), vid <= NET_VID_MAX);
		assert_int_equal(vlan_has(&v, vid), vid == 20 || vid == 30);
		assert_int_equal(vlan_has(&w, vid), vid == 10);
	}
	assert_true(vlan_overlaps(&a, &v));
	assert_true(vlan_overlaps(&v, &v));
	assert_false(vlan_overlaps(&v, &w));
	/* The native VLAN counts, in the list or not. */
	w = make(&tagged20, false);
	assert_true(vlan_has(&w, 20));
}

static void test_refuses(void **state)
{
	static const struct net_vlan bad[] = {
		{.mode = NET_VLAN_X_MAX},
		{.mode = NET_VLAN_TRUNK, .n_tags = NET_MAX_VLANS + 1},
		{.mode = NET_VLAN_TRUNK, .n_tags = UINT32_MAX},
		{.mode = NET_VLAN_TRUNK, .n_tags = 1, .tags = {0}},
		{.mode = NET_VLAN_TRUNK, .n_tags = 1, .tags = {4095}},
		{.mode = NET_VLAN_TRUNK, .n_tags = 1, .tags = {5}, .native = 4095},
		{.mode = NET_VLAN_ACCESS},
		{.mode = NET_VLAN_ACCESS, .n_tags = 2, .tags = {1, 2}},
		{.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {1}, .native = 1},
	};
	struct vlan v, was;

	(void)state;
	memset(&v, 0x5a, sizeof(v));
	was = v;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(vlan_init(&v, &bad[i], false), -EINVAL);
		assert_memory_equal(&v, &was, sizeof(v));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ingress),
		cmocka_unit_test(test_egress),
		cmocka_unit_test(test_double_tag),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
