/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fake worker's memory. Memory devices come and go at once, and the guest has at once what it is to have. Of the
 * balloon it does as it is told, at once, and says of its memory: 1000 KiB unused, 2000 KiB available and 3 major
 * faults. KVM counts pages and faults. fake=WORD in the command line:
 *
 *	refuse-memory	takes no memory device, and changes none
 *	keep-memory	gives nothing back
 *	claim-memory	says that the guest has 1 GiB of each
 *	no-stats	the balloon cannot be asked
 *	mute-stats	the balloon does not answer
 *	uses:FILE	the guest uses as many MiB as the file says now; what it has beyond is usable, and what it lacks
 *			comes from its swap
 *	no-mmu		KVM does not say what it counts
 */
#include "tests/fakes/fake-worker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CLAIMED_KIB (UINT64_C(1) << 20)

void fake_have_memory(struct fake *f, unsigned number, uint64_t kib)
{
	struct vm_stats_memory *stats = &f->stats->memories[number];

	f->memories |= UINT32_C(1) << number;
	stat_set(&stats->requested, kib * 1024);
	if (fake_told(f, "claim-memory"))
		kib = CLAIMED_KIB;
	if (!fake_told(f, "keep-memory") || stats->plugged < kib * 1024)
		stat_set(&stats->plugged, kib * 1024);
}

static void send_memories(struct fake *f)
{
	struct proto_memories memories = {f->memories};

	fake_send(f, PROTO_MEMORIES, 0, 0, &memories, sizeof(memories), NULL, 0);
}

void fake_memory(struct fake *f, const struct fake_request *p)
{
	struct proto_notice n = {.kind = PROTO_NOTICE_MEMORY};
	struct proto_memory_set set;
	struct proto_memory_add add;

	memcpy(&set, p->payload, sizeof(set)); /* the others begin as that does */
	memcpy(&add, p->payload, sizeof(add));
	if (fake_told(f, "refuse-memory")) {
		fake_reply(f, p->header.seq, -EBUSY, "told to refuse");
		return;
	}
	fake_reply(f, p->header.seq, 0, "");
	if (p->header.type == PROTO_MEMORY_REMOVE) {
		f->memories &= ~(UINT32_C(1) << set.number);
		send_memories(f);
		return;
	}
	fake_have_memory(f, set.number,
		p->header.type == PROTO_MEMORY_SET ? set.kib : add.config.requested_kib);
	n.index = set.number;
	fake_send(f, PROTO_NOTICE, 0, 0, &n, sizeof(n), NULL, 0);
}

/* What the guest of fake=uses:FILE says. */
static void tell_use(struct fake *f)
{
	struct vm_stats_balloon *stats = &f->stats->balloon;
	const char *word = strstr(f->config.cmdline, "fake=uses:");
	uint64_t mib = 0, has_mib = (f->config.memory_kib - stats->actual * 4) / 1024;
	char path[256];
	FILE *file;

	if (!word || sscanf(word, "fake=uses:%255s", path) != 1)
		return;
	file = fopen(path, "re");
	if (!file || fscanf(file, "%" SCNu64, &mib) != 1)
		mib = 0;
	if (file)
		(void)fclose(file);
	stat_set(&stats->known, 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6);
	stat_set(&stats->values[4], 0);
	stat_set(&stats->values[6], has_mib > mib ? (has_mib - mib) << 20 : 0);
	stat_add(&stats->values[0], mib > has_mib ? (mib - has_mib) << 20 : 0);
}

void fake_balloon(struct fake *f, const struct fake_request *p)
{
	struct vm_stats_balloon *stats = &f->stats->balloon;
	struct proto_notice n = {.kind = PROTO_NOTICE_BALLOON_STATS};
	struct proto_balloon what;

	if (p->header.type == PROTO_BALLOON_SET) {
		memcpy(&what, p->payload, sizeof(what));
		fake_reply(f, p->header.seq, 0, "");
		if (!(what.flags & PROTO_BALLOON_TARGET))
			return;
		stat_set(&stats->target, what.target);
		stat_set(&stats->actual, what.target);
		n = (struct proto_notice){.kind = PROTO_NOTICE_BALLOON, .index = what.target};
	} else if (fake_told(f, "no-stats")) {
		fake_reply(f, p->header.seq, -ENODATA, "");
		return;
	} else {
		fake_reply(f, p->header.seq, 0, "");
		if (fake_told(f, "mute-stats"))
			return;
		stat_set(&stats->known, 1 << 2 | 1 << 4 | 1 << 5);
		stat_set(&stats->values[2], 3);
		stat_set(&stats->values[4], 1000 * 1024);
		stat_set(&stats->values[5], 2000 * 1024);
		tell_use(f);
		stat_set(&stats->updated_ns, fake_now_ns());
		stat_add(&stats->updates, 1);
	}
	fake_send(f, PROTO_NOTICE, 0, 0, &n, sizeof(n), NULL, 0);
}

/* A kernel that counts only these; or one that does not say. */
void fake_mmu(struct fake *f, const struct fake_request *p)
{
	struct vm_stats_mmu *mmu = &f->stats->mmu;

	if (fake_told(f, "no-mmu")) {
		fake_reply(f, p->header.seq, -ENOTSUP, "");
		return;
	}
	stat_set(&mmu->known, 1 << VM_MMU_PAGES_4K | 1 << VM_MMU_PAGES_2M | 1 << VM_MMU_FAULTS);
	stat_set(&mmu->values[VM_MMU_PAGES_4K], 300);
	stat_set(&mmu->values[VM_MMU_PAGES_2M], 7);
	stat_add(&mmu->values[VM_MMU_FAULTS], 1000);
	fake_reply(f, p->header.seq, 0, "");
}
