/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses as text and as bytes: see net-addr.h. Tested by tests/unit/test-net-config.c. */
#include "config/net-addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int net_mac_parse(const char *s, uint8_t ret_mac[NET_MAC_LEN])
{
	uint8_t mac[NET_MAC_LEN];

	for (unsigned i = 0; i < NET_MAC_LEN; i++) {
		int high = hex_digit(*s), low;

		if (high < 0)
			return -EINVAL;
		low = hex_digit(*++s);
		mac[i] = (uint8_t)(low < 0 ? high : high << 4 | low);
		s += low >= 0;
		if (*s++ != (i == NET_MAC_LEN - 1 ? 0 : ':'))
			return -EINVAL;
	}
	memcpy(ret_mac, mac, sizeof(mac));
	return 0;
}

void net_mac_format(const uint8_t mac[NET_MAC_LEN], char ret_s[NET_MAC_STRING_SIZE])
{
	(void)snprintf(ret_s, NET_MAC_STRING_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		mac[2], mac[3], mac[4], mac[5]);
}

bool net_mac_is_zero(const uint8_t mac[NET_MAC_LEN])
{
	static const uint8_t zero[NET_MAC_LEN];

	return memcmp(mac, zero, sizeof(zero)) == 0;
}

bool net_mac_is_group(const uint8_t mac[NET_MAC_LEN])
{
	return mac[0] & 1;
}

/* FNV-1a over the UUID and the number, then mixed so that the low bits depend on all of them. */
void net_mac_derive(const uint8_t uuid[16], uint32_t n, uint8_t ret_mac[NET_MAC_LEN])
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (unsigned i = 0; i < 20; i++) {
		hash ^= i < 16 ? uuid[i] : (uint8_t)(n >> 8 * (i - 16));
		hash *= UINT64_C(0x100000001b3);
	}
	hash ^= hash >> 32;
	hash *= UINT64_C(0x9e3779b97f4a7c15);
	hash ^= hash >> 29;
	ret_mac[0] = 0x52;
	ret_mac[1] = 0x54;
	ret_mac[2] = 0x00;
	ret_mac[3] = (uint8_t)(hash >> 16);
	ret_mac[4] = (uint8_t)(hash >> 8);
	ret_mac[5] = (uint8_t)hash;
}

int net_ip_parse(const char *s, struct net_ip *ret_ip)
{
	struct net_ip ip = {0};

	if (inet_pton(AF_INET, s, ip.bytes) == 1)
		ip.family = 4;
	else if (inet_pton(AF_INET6, s, ip.bytes) == 1)
		ip.family = 6;
	else
		return -EINVAL;
	ip.prefix = (uint8_t)net_ip_bits(ip.family);
	*ret_ip = ip;
	return 0;
}

void net_ip_format(const struct net_ip *ip, char ret_s[NET_IP_STRING_SIZE])
{
	*ret_s = 0;
	if (net_ip_bits(ip->family))
		(void)inet_ntop(
			ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, ret_s, NET_IP_STRING_SIZE);
}

unsigned net_ip_bits(uint8_t family)
{
	return family == 4 ? 32 : family == 6 ? 128 : 0;
}

bool net_ip_within(const struct net_ip *ip, const struct net_ip *net)
{
	if (ip->family != net->family || net->prefix > net_ip_bits(net->family))
		return false;
	for (unsigned i = 0; i < net->prefix; i++)
		if ((ip->bytes[i / 8] ^ net->bytes[i / 8]) & 0x80 >> i % 8)
			return false;
	return true;
}

int net_ip_compare(const struct net_ip *a, const struct net_ip *b)
{
	return memcmp(a->bytes, b->bytes, net_ip_bits(a->family) / 8);
}

bool net_ip_is_group(const struct net_ip *ip)
{
	static const uint8_t broadcast[4] = {255, 255, 255, 255};

	if (ip->family == 6)
		return ip->bytes[0] == 0xff;
	return ip->bytes[0] >> 4 == 0xe || memcmp(ip->bytes, broadcast, 4) == 0;
}

bool net_ip_is_unspecified(const struct net_ip *ip)
{
	static const uint8_t zero[16];

	return memcmp(ip->bytes, zero, net_ip_bits(ip->family) / 8) == 0;
}

int net_ip_netmask_prefix(const struct net_ip *mask)
{
	uint32_t bits = (uint32_t)mask->bytes[0] << 24 | (uint32_t)mask->bytes[1] << 16 |
		(uint32_t)mask->bytes[2] << 8 | mask->bytes[3];

	if (mask->family != 4 || ~bits & (~bits + 1))
		return -EINVAL;
	return __builtin_popcount(bits);
}
