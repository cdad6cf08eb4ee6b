/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzer of frames: the input is what a sender gives, an offload header and bytes cut into pieces of memory, and the
 * policy of its port. It goes through everything that looks at frames; then the offloads are done, and what comes out
 * must be frames that the same policy judges as it did the whole, and that make the whole again.
 *
 *	byte 0		bits 0-2: 7 * 5^n bytes to a piece; 3: an offload header; 4: a tag beside; 5: no MTU
 *	byte 1		times 256: zeroes behind the frame
 *	2 … 13		the offload header
 *	14, 15		flags of the port
 *	16 …		the frame
 */
#include <stdlib.h>
#include <string.h>

#include "devices/net/guard.h"
#include "devices/net/offload.h"
#include "devices/net/snoop.h"
#include "vmm-core/base/macro.h"

#define INPUT_HEADER 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct net_port_config config = {
	.mac = {0x52, 0x54, 0, 0, 0, 0x0a},
	.n_ips = 2,
	.ips = {{.family = 4, .prefix = 24, .bytes = {10, 0, 0, 10}},
		{.family = 6, .prefix = 64, .bytes = {0x20, 1, 0x0d, 0xb8}}},
};
static struct offload_scratch scratch;
static uint8_t whole[FRAME_MAX + 8], part[FRAME_MAX];

struct input {
	uint32_t len, max_frame;
	unsigned n;
	struct iovec iov[FRAME_MAX_BODY];
};

/* What came out of the offloads. */
struct output {
	const struct frame *f;
	enum net_drop verdict;
	unsigned n;
	uint32_t n_payload;
	uint32_t max_frame;
};

static void expect(bool condition)
{
	if (!condition)
		abort();
}

static bool input_init(struct input *in, const uint8_t *data, size_t size)
{
	uint32_t step = 7, used = (uint32_t)MIN(size, (size_t)FRAME_MAX), n;
	uint8_t mode = data[-INPUT_HEADER];

	in->len = MIN(used + data[1 - INPUT_HEADER] * 256U, (uint32_t)FRAME_MAX);
	in->max_frame = mode & 0x20 ? FRAME_MAX : 1514;
	in->n = 0;
	for (unsigned i = 0; i < (mode & 7U); i++)
		step *= 5;
	step = MAX(step, DIV_ROUND_UP(in->len, (uint32_t)FRAME_MAX_BODY));
	memset(whole, 0, sizeof(whole));
	memcpy(whole, data, used);
	for (uint32_t at = 0; at < in->len; at += n) {
		n = MIN(step, in->len - at);
		in->iov[in->n] = (struct iovec){malloc(n), n};
		if (!in->iov[in->n].iov_base)
			abort();
		memcpy(in->iov[in->n++].iov_base, whole + at, n);
	}
	return in->len > 0;
}

static void check_frame(const struct frame *f)
{
	expect(f->head_len <= FRAME_HEAD_MAX && f->head_len <= f->len && f->len <= FRAME_MAX);
	expect(f->l3 >= FRAME_MIN && f->l3 <= f->head_len && f->l4 <= f->head_len);
	expect(!f->l4 || f->l4 >= f->l3 + 20);
	expect(!(f->flags & (FRAME_TCP | FRAME_UDP | FRAME_ICMP6 | FRAME_IGMP)) || f->l4);
	expect(!(f->flags & FRAME_LATER) || (f->flags & FRAME_FRAGMENT && !f->l4));
	if (f->flags & (FRAME_IPV4 | FRAME_IPV6))
		expect(frame_ip_end(f) <= f->len && f->l4 <= frame_ip_end(f));
	if (f->hdr.flags & NET_HDR_F_NEEDS_CSUM)
		expect(f->hdr.csum_start + f->hdr.csum_offset + 2U <= f->len &&
			f->hdr.csum_start >= f->l4);
	if (f->hdr.gso_type)
		expect(f->hdr.gso_size && f->hdr.hdr_len < f->len &&
			f->hdr.hdr_len <= f->head_len && f->hdr.hdr_len > f->l4);
	else
		expect(!f->hdr.gso_size && !f->hdr.hdr_len);
}

/* The frame and its iovecs are the bytes that came in, with and without a tag. */
static void check_iov(const struct frame *f, bool beside)
{
	static struct iovec iov[FRAME_MAX_IOV];
	struct net_hdr hdr;
	uint8_t tag[4];
	int32_t tci = f->tagged && !beside ? f->tci : -1;
	uint32_t len, at = 0;
	unsigned n = frame_iov(f, tci, tag, iov, &hdr, &len);

	expect(n <= FRAME_MAX_IOV);
	for (unsigned i = 0; i < n; at += (uint32_t)iov[i++].iov_len)
		expect(!memcmp(whole + at, iov[i].iov_base, iov[i].iov_len));
	expect(at == len);
	expect(frame_copy(f, 0, part, sizeof(part)) == f->len);
	expect(!memcmp(part, f->head, f->head_len));
	expect(!memcmp(part + 12, whole + (tci < 0 ? 12 : 16), f->len - 12));
}

static void check_snoop(const struct frame *f)
{
	struct snoop_result seen;
	static struct snoop_groups groups;

	if (snoop_address(f, &seen))
		expect(seen.n > 0 && seen.n <= SNOOP_MAX_ADDRESSES &&
			!(seen.addresses[0].mac[0] & 1));
	if (!snoop_group(f, &groups))
		return;
	expect(groups.n <= SNOOP_MAX_GROUPS);
	for (unsigned i = 0; i < groups.n; i++)
		expect(groups.groups[i].mac[0] & 1);
}

/* A segment is a frame of its own: as short as allowed, judged as the whole was, and the next of its bytes. */
static int emit(void *opaque, const struct frame *f)
{
	static struct frame again;
	struct output *out = opaque;
	uint32_t len = (uint32_t)frame_copy(f, 0, part, sizeof(part)), hdr_len;
	struct iovec iov = {part, len};
	bool ufo = out->f->hdr.gso_type == NET_HDR_GSO_UDP;

	expect(len == f->len && f->head_len <= FRAME_HEAD_MAX && !f->hdr.flags);
	expect(frame_init(&again, NULL, &iov, 1, len, out->max_frame, f->tagged ? f->tci : -1) ==
		0);
	expect(again.l3 == f->l3 && again.l4 == (ufo && !out->n ? again.l4 : f->l4));
	if (!(again.flags & FRAME_LATER))
		expect(guard_check(&config, NULL, &again) == out->verdict);
	hdr_len = out->f->hdr.gso_type ? out->f->hdr.hdr_len : 0;
	if (ufo)
		hdr_len = out->f->l4 + (again.flags & FRAME_IPV6 ? 8U : 0);
	expect(len > hdr_len);
	/* The whole, without its headers; checksums within are not compared. */
	if (out->f->hdr.gso_type && !(ufo && !out->n)) {
		uint32_t at = (ufo ? out->f->l4 : hdr_len) + out->n_payload;
		static uint8_t same[FRAME_MAX];

		expect(frame_copy(out->f, at, same, len - hdr_len) == len - hdr_len);
		expect(!memcmp(same, part + hdr_len, len - hdr_len));
	}
	out->n_payload += len - hdr_len;
	out->n++;
	return 0;
}

static void check_offload(const struct frame *f, enum net_drop verdict, uint32_t max_frame)
{
	struct output out = {.f = f, .verdict = verdict, .max_frame = max_frame};
	uint32_t headers = !f->hdr.gso_type          ? 0
		: f->hdr.gso_type == NET_HDR_GSO_UDP ? f->l4
						     : f->hdr.hdr_len;

	expect(offload_needs_fixup(f, 0) ==
		(f->hdr.gso_type || f->hdr.flags & NET_HDR_F_NEEDS_CSUM));
	expect(offload_fixup(f, &scratch, emit, &out) == 0);
	expect(out.n >= 1 && out.n <= FRAME_MAX_SEGS && out.n_payload == f->len - headers);
	expect(f->hdr.gso_type ? out.n > 1 : out.n == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t seed[2] = {1, 2};
	static struct frame f;
	struct guard_learned learned = {0};
	struct net_hdr hdr;
	struct input in;
	enum net_drop drop;
	bool beside;

	if (size <= INPUT_HEADER)
		return 0;
	beside = data[0] & 0x10;
	memcpy(&hdr, data + 2, sizeof(hdr));
	config.flags = frame_be16(data + 14) & NET_PORT_FLAGS;
	if (!input_init(&in, data + INPUT_HEADER, size - INPUT_HEADER))
		return 0;
	drop = frame_init(
		&f, data[0] & 8 ? &hdr : NULL, in.iov, in.n, in.len, in.max_frame, beside ? 5 : -1);
	expect(drop == 0 || drop == NET_DROP_MALFORMED || drop == NET_DROP_MTU);
	if (!drop) {
		check_frame(&f);
		check_iov(&f, beside);
		check_snoop(&f);
		expect(frame_hash(&f, seed) != 0);
		drop = guard_check(&config, NULL, &f);
		check_offload(&f, drop, in.max_frame);
		for (unsigned i = 0; i < 2; i++) {
			config.n_ips = i ? 2 : 0;
			(void)guard_learn(&learned, &config, &f);
			(void)guard_learn_dhcp(&learned, &config, &f);
			expect(learned.n <= GUARD_MAX_LEARNED);
			(void)guard_check(&config, &learned, &f);
		}
	}
	for (unsigned i = 0; i < in.n; i++)
		free(in.iov[i].iov_base);
	return 0;
}
