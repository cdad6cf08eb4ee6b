/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Groups of IGMP and MLD: see snoop.h. Tested by tests/unit/test-snoop.c. */
#include "devices/net/snoop.h"

#include <string.h>

#include "vmm-core/base/macro.h"

#define MESSAGE_MAX 1500 /* bytes of a report that are looked at */

#define IGMP_QUERY     0x11
#define IGMP_V1_REPORT 0x12
#define IGMP_V2_REPORT 0x16
#define IGMP_LEAVE     0x17
#define IGMP_V3_REPORT 0x22
#define IGMP_LEN       8
#define IGMP_V1_MS     10000 /* RFC 2236, 4 */

#define MLD_QUERY     130
#define MLD_V1_REPORT 131
#define MLD_DONE      132
#define MLD_V2_REPORT 143
#define MLD_LEN       24

/* Types of records: RFC 3376, 4.2.12; RFC 3810, 5.2.12. */
enum { IS_INCLUDE = 1, IS_EXCLUDE, TO_INCLUDE, TO_EXCLUDE, ALLOW, BLOCK };

/* The message in private memory: its first 'len' of 'total' bytes. */
struct message {
	uint8_t family;
	size_t len, total;
	uint8_t bytes[MESSAGE_MAX];
};

static bool is_group(const uint8_t *ip, uint8_t family)
{
	return family == 4 ? ip[0] >> 4 == 14 : ip[0] == 0xff;
}

/* False: there is no room. What is no group is passed over. */
static bool add(struct snoop_groups *ret, uint8_t family, const uint8_t *ip, bool join)
{
	struct snoop_group *g;

	if (!is_group(ip, family))
		return true;
	if (ret->n == SNOOP_MAX_GROUPS)
		return false;
	g = &ret->groups[ret->n++];
	*g = (struct snoop_group){
		.join = join, .ip = {.family = family, .prefix = family == 4 ? 32 : 128}};
	memcpy(g->ip.bytes, ip, family == 4 ? 4 : 16);
	if (family == 4)
		memcpy(g->mac, (uint8_t[]){0x01, 0x00, 0x5e, ip[1] & 0x7f, ip[2], ip[3]}, 6);
	else
		memcpy(g->mac, (uint8_t[]){0x33, 0x33, ip[12], ip[13], ip[14], ip[15]}, 6);
	return true;
}

/* Type, length of auxiliary data in words, number of sources, group, sources, auxiliary data. */
static void records(const struct message *m, struct snoop_groups *ret)
{
	size_t at = 8, address = m->family == 4 ? 4 : 16;
	unsigned n = frame_be16(m->bytes + 6);

	for (; n; n--) {
		const uint8_t *r;
		unsigned n_sources;
		bool fits = true;

		if (at + 4 + address > m->len) {
			ret->truncated = true;
			return;
		}
		r = m->bytes + at;
		n_sources = frame_be16(r + 2);
		if (r[0] == IS_EXCLUDE || r[0] == TO_EXCLUDE)
			fits = add(ret, m->family, r + 4, true);
		else if (r[0] == IS_INCLUDE || r[0] == TO_INCLUDE)
			fits = add(ret, m->family, r + 4, n_sources > 0);
		else if (r[0] == ALLOW && n_sources)
			fits = add(ret, m->family, r + 4, true);
		if (!fits) {
			ret->truncated = true;
			return;
		}
		at += 4 + address * (1 + (size_t)n_sources) + 4U * r[1];
	}
}

/* RFC 3376, 4.1.1; RFC 3810, 5.1.3: a mantissa of 'bits' bits and three of exponent, where the top bit is set. */
static uint32_t decode(uint32_t code, unsigned bits)
{
	uint32_t top = 1U << (bits + 3);

	if (code < top)
		return code;
	return ((code & ((1U << bits) - 1)) | 1U << bits) << ((code >> bits & 7) + 3);
}

static bool parse_igmp(const struct message *m, struct snoop_groups *ret)
{
	const uint8_t *igmp = m->bytes;

	switch (igmp[0]) {
	case IGMP_QUERY:
		ret->kind = SNOOP_GROUP_QUERY;
		ret->response_ms = m->total >= 12 ? decode(igmp[1], 4) * 100
			: igmp[1]                 ? igmp[1] * 100U
						  : IGMP_V1_MS;
		(void)add(ret, 4, igmp + 4, false);
		return true;
	case IGMP_V1_REPORT:
	case IGMP_V2_REPORT:
	case IGMP_LEAVE:
		return is_group(igmp + 4, 4) && add(ret, 4, igmp + 4, igmp[0] != IGMP_LEAVE);
	case IGMP_V3_REPORT:
		records(m, ret);
		return true;
	default:
		return false;
	}
}

static bool parse_mld(const struct message *m, struct snoop_groups *ret)
{
	const uint8_t *mld = m->bytes;

	if (mld[0] == MLD_V2_REPORT) {
		records(m, ret);
		return true;
	}
	if (m->len < MLD_LEN)
		return false;
	switch (mld[0]) {
	case MLD_QUERY:
		ret->kind = SNOOP_GROUP_QUERY;
		ret->response_ms =
			m->total >= 28 ? decode(frame_be16(mld + 4), 12) : frame_be16(mld + 4);
		(void)add(ret, 6, mld + 8, false);
		return true;
	case MLD_V1_REPORT:
	case MLD_DONE:
		return is_group(mld + 8, 6) && add(ret, 6, mld + 8, mld[0] != MLD_DONE);
	default:
		return false;
	}
}

/* RFC 3810, 5 and 5.2.13. */
static bool is_mld(const struct frame *f)
{
	static const uint8_t zero[16];
	const uint8_t *ip = f->head + f->l3, *src = ip + 8;
	uint8_t type = f->head[f->l4];

	if (type != MLD_V2_REPORT && (type < MLD_QUERY || type > MLD_DONE))
		return false;
	if (ip[7] != 1)
		return false;
	return (src[0] == 0xfe && (src[1] & 0xc0) == 0x80) ||
		(type != MLD_QUERY && !memcmp(src, zero, 16));
}

bool snoop_group(const struct frame *frame, struct snoop_groups *ret)
{
	struct message m;
	size_t whole;

	if (frame->flags & FRAME_FRAGMENT || !(frame->flags & (FRAME_IGMP | FRAME_ICMP6)))
		return false;
	if (frame->flags & FRAME_ICMP6 && !is_mld(frame))
		return false;
	m.family = frame->flags & FRAME_IGMP ? 4 : 6;
	whole = frame_ip_end(frame) - frame->l4;
	m.len = frame_copy(frame, frame->l4, m.bytes, MIN(whole, sizeof(m.bytes)));
	m.total = whole;
	if (m.len < IGMP_LEN)
		return false;
	ret->kind = SNOOP_GROUP_REPORT;
	ret->truncated = false;
	ret->response_ms = 0;
	ret->n = 0;
	return m.family == 4 ? parse_igmp(&m, ret) : parse_mld(&m, ret);
}
