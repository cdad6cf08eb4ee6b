/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses as text and as bytes: MAC addresses in the order of the wire, IP addresses as struct net_ip. Nothing here
 * asks the network or allocates.
 */
#pragma once

#include "config/net-config.h"

#define NET_MAC_STRING_SIZE 18 /* "52:54:00:12:34:56", with the NUL */
#define NET_IP_STRING_SIZE  46 /* INET6_ADDRSTRLEN */

/* Six hexadecimal bytes with ':' between them; one digit is enough. Returns 0 or -EINVAL. */
int net_mac_parse(const char *s, uint8_t ret_mac[NET_MAC_LEN]);
void net_mac_format(const uint8_t mac[NET_MAC_LEN], char ret_s[NET_MAC_STRING_SIZE]);
bool net_mac_is_zero(const uint8_t mac[NET_MAC_LEN]);
bool net_mac_is_group(const uint8_t mac[NET_MAC_LEN]); /* multicast or broadcast */

/* An address of KVM's range, 52:54:00, for number 'n' of the thing with this UUID: always the same one, so that a
 * definition that is read twice gives the same machine. */
void net_mac_derive(const uint8_t uuid[16], uint32_t n, uint8_t ret_mac[NET_MAC_LEN]);

/* An IPv4 or IPv6 address in the usual notation, as an address alone (prefix 32 or 128). Returns 0 or -EINVAL. */
int net_ip_parse(const char *s, struct net_ip *ret_ip);
/* "" when 'ip' has no known family. */
void net_ip_format(const struct net_ip *ip, char ret_s[NET_IP_STRING_SIZE]);

/* The number of bits of an address of this family: 32 or 128; 0: no such family. */
unsigned net_ip_bits(uint8_t family);
/* 'ip' is in the network of 'net', by net->prefix bits. */
bool net_ip_within(const struct net_ip *ip, const struct net_ip *net);
/* Less than, equal to or greater than 0 as a comes before, is or comes after b; families are not mixed. */
int net_ip_compare(const struct net_ip *a, const struct net_ip *b);
bool net_ip_is_group(const struct net_ip *ip); /* multicast, or IPv4's broadcast */
bool net_ip_is_unspecified(const struct net_ip *ip);
/* The prefix length of an IPv4 netmask, or -EINVAL when its ones are not all in front. */
int net_ip_netmask_prefix(const struct net_ip *mask);
