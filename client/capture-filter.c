/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Filters of captures: see capture-filter.h. */
#include "client/capture-filter.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm-core/base/capture-record.h"
#include "vmm-core/base/macro.h"

#define ALL 262144 /* libpcap's: more than any frame */

/* Behind the record; negative offsets are the kernel's ancillary data (SKF_AD_OFF), which a frame here has none of. */
static int move_offset(struct sock_filter *to)
{
	if (to->k > INT32_MAX - CAPTURE_RECORD_SIZE)
		return -EINVAL;
	to->k += CAPTURE_RECORD_SIZE;
	return 0;
}

static int move_load(struct sock_filter *to)
{
	switch (BPF_MODE(to->code)) {
	case BPF_ABS:
	case BPF_IND:
	case BPF_MSH:
		return move_offset(to);
	case BPF_LEN:
		/* The packet's length says nothing: the first word of the record does. */
		if (BPF_CLASS(to->code) != BPF_LD)
			return -EINVAL;
		*to = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
		return 0;
	default:
		return 0;
	}
}

static int move(const struct bpf_insn *from, uint32_t snaplen, struct sock_filter *to)
{
	*to = (struct sock_filter){from->code, from->jt, from->jf, from->k};
	if (BPF_CLASS(to->code) == BPF_LD || BPF_CLASS(to->code) == BPF_LDX)
		return move_load(to);
	if (BPF_CLASS(to->code) != BPF_RET)
		return 0;
	if (BPF_RVAL(to->code) != BPF_K)
		return -EINVAL;
	if (to->k)
		to->k = CAPTURE_RECORD_SIZE + snaplen;
	return 0;
}

static int translate(const struct bpf_program *program, uint32_t snaplen,
	struct capture_filter *ret, char *ret_error)
{
	if (program->bf_len > CAPTURE_FILTER_MAX) {
		(void)snprintf(ret_error, CAPTURE_FILTER_ERROR_MAX,
			"%u instructions, and the kernel takes %d; write a shorter one",
			program->bf_len, CAPTURE_FILTER_MAX);
		return -EINVAL;
	}
	for (unsigned i = 0; i < program->bf_len; i++) {
		if (move(&program->bf_insns[i], snaplen, &ret->code[i]) == 0)
			continue;
		(void)snprintf(ret_error, CAPTURE_FILTER_ERROR_MAX,
			"it asks for what is not in a frame's bytes; for 'inbound' and "
			"'outbound' write --direction");
		return -EINVAL;
	}
	ret->n = (unsigned short)program->bf_len;
	return 0;
}

int capture_filter_compile(const char *expression, uint32_t snaplen,
	struct capture_filter *ret_filter, char ret_error[CAPTURE_FILTER_ERROR_MAX])
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, ALL);
	struct bpf_program program;
	int r = -EINVAL;

	if (!pcap) {
		(void)snprintf(ret_error, CAPTURE_FILTER_ERROR_MAX, "out of memory");
		return r;
	}
	if (pcap_compile(pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		(void)snprintf(ret_error, CAPTURE_FILTER_ERROR_MAX, "%s", pcap_geterr(pcap));
	} else {
		r = translate(&program, snaplen, ret_filter, ret_error);
		pcap_freecode(&program);
	}
	pcap_close(pcap);
	return r;
}

static int attach(int fd, const struct sock_filter *code, unsigned short n)
{
	struct sock_fprog program = {.len = n};

	/* The kernel only reads it; its struct has no const. */
	memcpy(&program.filter, &code, sizeof(program.filter));
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 0;
}

int capture_filter_attach(int fd, const struct capture_filter *filter)
{
	static const struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	int r = attach(fd, nothing, ARRAY_SIZE(nothing));
	char byte;

	if (r < 0)
		return r;
	/* With nothing new coming in, this ends. */
	while (recv(fd, &byte, 1, MSG_DONTWAIT) > 0)
		;
	return attach(fd, filter->code, filter->n);
}
