/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LACPDUs and marker PDUs as bytes (802.1AX-2014 6.4.2, 6.5.3). */
#include <string.h>

#include "devices/net/lacp-internal.h"

#define SUBTYPE_LACP   1
#define SUBTYPE_MARKER 2
#define SUBTYPE_LAST   10 /* what the standard calls slow protocols ends here (802.3 57A.4) */

#define TLV_ACTOR           1
#define TLV_PARTNER         2
#define TLV_COLLECTOR       3
#define TLV_MARKER          1
#define TLV_MARKER_RESPONSE 2

#define LEN_INFO      20
#define LEN_COLLECTOR 16
#define LEN_MARKER    16

struct tlv_info {
	uint8_t type, len;
	uint8_t system_priority[2];
	uint8_t system[LACP_MAC_LEN];
	uint8_t key[2];
	uint8_t port_priority[2];
	uint8_t port[2];
	uint8_t state;
	uint8_t reserved[3];
};

struct slow_header {
	uint8_t dst[LACP_MAC_LEN], src[LACP_MAC_LEN];
	uint8_t ethertype[2];
	uint8_t subtype, version;
};

struct lacpdu {
	struct slow_header header;
	struct tlv_info actor, partner;
	uint8_t collector_type, collector_len;
	uint8_t collector_max_delay[2];
	uint8_t collector_reserved[12];
	uint8_t terminator_type, terminator_len;
	uint8_t reserved[50];
};

struct marker_pdu {
	struct slow_header header;
	uint8_t type, len;
	uint8_t requester_port[2];
	uint8_t requester_system[LACP_MAC_LEN];
	uint8_t transaction[4];
	uint8_t pad[2];
	uint8_t terminator_type, terminator_len;
	uint8_t reserved[90];
};

static_assert(sizeof(struct lacpdu) == LACP_FRAME_LEN, "wire format");
static_assert(sizeof(struct marker_pdu) == LACP_FRAME_LEN, "wire format");

static const uint8_t slow_protocols[LACP_MAC_LEN] = {0x01, 0x80, 0xc2, 0x00, 0x00, 0x02};

static uint16_t get16(const uint8_t from[2])
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static void put16(uint8_t to[2], uint16_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static enum lacp_frame marker_kind(const struct marker_pdu *marker)
{
	if (marker->len != LEN_MARKER)
		return LACP_FRAME_ILLEGAL;
	switch (marker->type) {
	case TLV_MARKER:
		return LACP_FRAME_MARKER;
	case TLV_MARKER_RESPONSE:
		return LACP_FRAME_MARKER_RESPONSE;
	default:
		return LACP_FRAME_ILLEGAL;
	}
}

static enum lacp_frame lacpdu_kind(const struct lacpdu *lacpdu)
{
	if (lacpdu->actor.len != LEN_INFO || lacpdu->partner.len != LEN_INFO ||
		lacpdu->collector_len != LEN_COLLECTOR)
		return LACP_FRAME_ILLEGAL;
	return LACP_FRAME_LACPDU;
}

enum lacp_frame lacp_frame_kind(const uint8_t *frame, size_t len)
{
	const struct slow_header *header = (const struct slow_header *)frame;

	if (len < sizeof(*header) - 1)
		return LACP_FRAME_ILLEGAL;
	if (memcmp(header->dst, slow_protocols, LACP_MAC_LEN) != 0 ||
		header->ethertype[0] != 0x88 || header->ethertype[1] != 0x09)
		return LACP_FRAME_UNKNOWN;
	if (!header->subtype || header->subtype > SUBTYPE_LAST)
		return LACP_FRAME_ILLEGAL;
	if (header->subtype > SUBTYPE_MARKER)
		return LACP_FRAME_UNKNOWN;
	if (len < LACP_FRAME_LEN)
		return LACP_FRAME_ILLEGAL;
	return header->subtype == SUBTYPE_LACP ? lacpdu_kind((const struct lacpdu *)frame)
					       : marker_kind((const struct marker_pdu *)frame);
}

static void decode_info(const struct tlv_info *tlv, struct lacp_info *ret_info)
{
	ret_info->system_priority = get16(tlv->system_priority);
	memcpy(ret_info->system, tlv->system, LACP_MAC_LEN);
	ret_info->key = get16(tlv->key);
	ret_info->port_priority = get16(tlv->port_priority);
	ret_info->port = get16(tlv->port);
	ret_info->state = tlv->state;
}

static void encode_info(const struct lacp_info *info, uint8_t type, struct tlv_info *tlv)
{
	tlv->type = type;
	tlv->len = LEN_INFO;
	put16(tlv->system_priority, info->system_priority);
	memcpy(tlv->system, info->system, LACP_MAC_LEN);
	put16(tlv->key, info->key);
	put16(tlv->port_priority, info->port_priority);
	put16(tlv->port, info->port);
	tlv->state = info->state;
}

static void encode_header(struct slow_header *header, const uint8_t *src, uint8_t subtype)
{
	memcpy(header->dst, slow_protocols, LACP_MAC_LEN);
	memcpy(header->src, src, LACP_MAC_LEN);
	header->ethertype[0] = 0x88;
	header->ethertype[1] = 0x09;
	header->subtype = subtype;
	header->version = 1;
}

void lacp_pdu_decode(const uint8_t *frame, struct lacp_pdu *ret_pdu)
{
	const struct lacpdu *lacpdu = (const struct lacpdu *)frame;

	decode_info(&lacpdu->actor, &ret_pdu->actor);
	decode_info(&lacpdu->partner, &ret_pdu->partner);
}

/* CollectorMaxDelay is 0: a frame is handed on before the next one is looked at. */
void lacp_pdu_encode(const struct lacp_pdu *pdu, const uint8_t src[LACP_MAC_LEN],
	uint8_t ret_frame[LACP_FRAME_LEN])
{
	struct lacpdu *lacpdu = (struct lacpdu *)ret_frame;

	*lacpdu = (struct lacpdu){0};
	encode_header(&lacpdu->header, src, SUBTYPE_LACP);
	encode_info(&pdu->actor, TLV_ACTOR, &lacpdu->actor);
	encode_info(&pdu->partner, TLV_PARTNER, &lacpdu->partner);
	lacpdu->collector_type = TLV_COLLECTOR;
	lacpdu->collector_len = LEN_COLLECTOR;
}

/* The requester's fields go back as they came; what is reserved goes back as zeroes. */
void lacp_marker_answer(
	const uint8_t *frame, const uint8_t src[LACP_MAC_LEN], uint8_t ret_frame[LACP_FRAME_LEN])
{
	const struct marker_pdu *marker = (const struct marker_pdu *)frame;
	struct marker_pdu *answer = (struct marker_pdu *)ret_frame;

	*answer = (struct marker_pdu){0};
	encode_header(&answer->header, src, SUBTYPE_MARKER);
	answer->type = TLV_MARKER_RESPONSE;
	answer->len = LEN_MARKER;
	memcpy(answer->requester_port, marker->requester_port, sizeof(answer->requester_port));
	memcpy(answer->requester_system, marker->requester_system, LACP_MAC_LEN);
	memcpy(answer->transaction, marker->transaction, sizeof(answer->transaction));
}
