/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checks of what vmmd has and runs: see doctor.h. Tested by tests/unit/test-doctor.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "daemon/doctor.h"
#include "daemon/host.h"
#include "daemon/image-lock.h"
#include "daemon/memory-limit.h"
#include "daemon/mounts.h"
#include "daemon/network.h"
#include "daemon/tls-store.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

#define TLS_SOON_S        (INT64_C(14) * 86400)
#define SPACE_LOW_PERCENT 5
#define SPACE_MIN_BYTES   MIB(64) /* less, and definitions cannot be kept */

static void check_folder(struct doctor *d, const char *path, const char *what)
{
	struct statvfs s;
	uint64_t free_bytes;

	if (statvfs(path, &s) < 0) {
		doctor_say(d, DOCTOR_PROBLEM, path, "Make the folder anew, and start vmmd again.",
			"the folder of %s cannot be looked at: %s", what, strerror(errno));
		return;
	}
	free_bytes = (uint64_t)s.f_bavail * s.f_frsize;
	if (free_bytes < SPACE_MIN_BYTES || (s.f_files && !s.f_favail))
		doctor_say(d, DOCTOR_PROBLEM, path, "Free space or inodes there.",
			"the filesystem of %s has %" PRIu64 " MiB and %" PRIu64 " inodes left",
			what, free_bytes >> 20, (uint64_t)s.f_favail);
	else if (s.f_bavail * 100 < s.f_blocks * SPACE_LOW_PERCENT)
		doctor_say(d, DOCTOR_WARNING, path, "Free space there.",
			"the filesystem of %s has %" PRIu64 " MiB left, less than %d %%", what,
			free_bytes >> 20, SPACE_LOW_PERCENT);
	else
		doctor_say(d, DOCTOR_OK, path, "", "%s: %" PRIu64 " MiB are free", what,
			free_bytes >> 20);
}

void doctor_check_space(struct doctor *d)
{
	check_folder(d, d->manager->options.state_dir, "definitions and logs");
	check_folder(d, d->manager->options.runtime_dir, "what runs");
}

static void check_times(struct doctor *d, const char *dir, const struct tls_creds *creds)
{
	int64_t now_s = time(NULL), left_days = (creds->expires_s - now_s) / 86400;

	if (creds->crl_until_s && creds->crl_until_s < now_s)
		doctor_say(d, DOCTOR_PROBLEM, dir, "Put a new list there, or none.",
			TLS_FILE_CRL " is out of date: nobody is let in by TLS");
	else if (creds->expires_s < now_s)
		doctor_say(d, DOCTOR_PROBLEM, dir, "Put a new certificate there.",
			TLS_FILE_CERT " has expired: clients refuse it");
	else if (creds->expires_s < now_s + TLS_SOON_S)
		doctor_say(d, DOCTOR_WARNING, dir, "Put a new certificate there in time.",
			TLS_FILE_CERT " expires in %" PRId64 " days", left_days);
	else
		doctor_say(d, DOCTOR_OK, dir, "",
			"TLS: certificates, key and roles are right, for %" PRId64 " days",
			left_days);
}

/* As the next connection would find them. */
void doctor_check_tls(struct doctor *d)
{
	_cleanup_(tls_creds_unrefp) struct tls_creds *creds = NULL;
	char dir[4096] = "", cert[sizeof(dir) + 16], why[TLS_WHY_MAX];

	if (d->manager->options.tls_dir)
		(void)snprintf(dir, sizeof(dir), "%s%s", d->root, d->manager->options.tls_dir);
	(void)snprintf(cert, sizeof(cert), "%s/" TLS_FILE_CERT, dir);
	if (!*dir || access(cert, F_OK) < 0)
		doctor_say(d, DOCTOR_OK, "", "", "TLS: there is no certificate, so it is off");
	else if (tls_creds_load(dir, &creds, why) < 0)
		doctor_say(d, DOCTOR_PROBLEM, dir,
			"Correct it, and the next connection finds it right.",
			"nobody is let in by TLS: %s", why);
	else
		check_times(d, dir, creds);
}

void doctor_check_memory(struct doctor *d)
{
	uint64_t limit = d->manager->options.memory_limit_kib, host = host_memory_kib();
	struct memory_use use;
	char text[64] = "no limit";

	memory_use_read(d->manager, &use);
	if (limit)
		(void)snprintf(text, sizeof(text), "%" PRIu64 " MiB", limit >> 10);
	if (use.used_kib > host || (limit && use.used_kib > limit))
		doctor_say(d, DOCTOR_WARNING, "",
			"Stop a domain, add memory or swap; vmmd --memory-limit refuses starts "
			"before it comes to that.",
			"domains may come to use %" PRIu64 " MiB of the host's %" PRIu64
			" MiB (limit: %s)",
			use.used_kib >> 10, host >> 10, text);
	else
		doctor_say(d, DOCTOR_OK, "", "",
			"domains may come to use %" PRIu64 " MiB of the host's %" PRIu64
			" MiB (limit: %s)",
			use.used_kib >> 10, host >> 10, text);
}

/* A sparse image can grow by more than there is. */
static bool check_growth(
	struct doctor *d, const struct domain *domain, const struct definition_disk *disk)
{
	struct statvfs s;
	struct stat st;
	uint64_t missing, left;

	if (disk->is_cdrom || stat(disk->path, &st) < 0 || !S_ISREG(st.st_mode) ||
		statvfs(disk->path, &s) < 0)
		return true;
	missing = (uint64_t)st.st_size > (uint64_t)st.st_blocks * 512
		? (uint64_t)st.st_size - (uint64_t)st.st_blocks * 512
		: 0;
	left = (uint64_t)s.f_bavail * s.f_frsize;
	if (missing <= left)
		return true;
	doctor_say(d, DOCTOR_WARNING, domain->name,
		"Free space there, or move the image: a guest that writes more gets I/O errors.",
		"'%s' may grow by %" PRIu64 " MiB, its filesystem has %" PRIu64 " MiB left",
		disk->path, missing >> 20, left >> 20);
	return false;
}

/* Open it as a start would, and let it go. */
static bool check_image(
	struct doctor *d, const struct domain *domain, const struct definition_disk *disk)
{
	_cleanup_(freep) char *why = NULL;
	_cleanup_(closep) int fd = -EBADF;
	struct image_info info;
	int r = image_open(disk->path, disk->is_cdrom ? IMAGE_READONLY : 0, &fd, &info, &why);

	if (r == -EBUSY)
		doctor_say(d, DOCTOR_WARNING, domain->name,
			"End what uses the image, or give the domain a copy; of a disk that "
			"several may "
			"write: <shareable/>, if the filesystem in it is made for that.",
			"%s", why ?: disk->path);
	else if (r < 0)
		doctor_say(d, DOCTOR_PROBLEM, domain->name,
			"Correct the path in the definition, or the file and its modes.",
			"domain '%s' cannot start: %s", domain->name, why ?: strerror(-r));
	else if (info.looks_like)
		doctor_say(d, DOCTOR_WARNING, domain->name,
			"Convert it: qemu-img convert -O raw. vmmd knows no format but raw, and so "
			"no "
			"backing files.",
			"'%s' is used as a raw image but looks like %s", disk->path,
			info.looks_like);
	else if (!info.is_locked)
		doctor_say(d, DOCTOR_WARNING, domain->name,
			"Move the image to a filesystem with locks, or take care yourself that "
			"nobody "
			"else uses it.",
			"'%s' lies on a filesystem without locks", disk->path);
	else
		return true;
	return false;
}

void doctor_check_images(struct doctor *d)
{
	unsigned n_well = 0, n_skipped = 0, n_far = 0;
	struct list *pos;

	list_for_each (pos, &d->manager->domains) {
		const struct domain *domain = list_entry(pos, struct domain, link);
		const struct definition *def = domain_current(domain);

		for (uint32_t i = 0; def && i < def->n_disks; i++) {
			const struct definition_disk *disk = &def->disks[i];
			char where[320];
			bool well = true;

			if (!*disk->path)
				continue;
			if (d->n_images++ >= DOCTOR_MAX_IMAGES) {
				n_skipped++;
				continue;
			}
			/* It may not answer, and this is the daemon's thread. */
			if (mounts_is_far(d->manager->mounts, disk->path, where, sizeof(where))) {
				n_far++;
				continue;
			}
			/* What runs has its own; a look would only find that. */
			if (!domain_is_active(domain))
				well = check_image(d, domain, disk);
			n_well += check_growth(d, domain, disk) && well;
		}
	}
	if (n_skipped)
		doctor_say(d, DOCTOR_WARNING, "", "Start them to find out.",
			"%u more images were not looked at", n_skipped);
	if (n_far)
		doctor_say(d, DOCTOR_OK, "", "",
			"%u images on file systems of others (NFS, FUSE …) were not looked at",
			n_far);
	if (n_well || !d->n_images)
		doctor_say(d, DOCTOR_OK, "", "", "%u images can be used", n_well);
}

void doctor_check_workers(struct doctor *d)
{
	unsigned n = 0, n_silent = 0;
	struct list *pos;

	list_for_each (pos, &d->manager->domains) {
		const struct domain *domain = list_entry(pos, struct domain, link);

		if (domain->phase != DOMAIN_ACTIVE || !domain->worker)
			continue;
		n++;
		(void)worker_probe(domain->worker);
		if (worker_is_connected(domain->worker) && !domain->degraded)
			continue;
		n_silent++;
		doctor_say(d, DOCTOR_PROBLEM, domain->name,
			"The guest runs on. Shut it down from within, then vmctl destroy and "
			"start.",
			"the worker of domain '%s' (process %d) does not answer", domain->name,
			(int)worker_pid(domain->worker));
	}
	if (!n_silent)
		doctor_say(d, DOCTOR_OK, "", "", "%u domains run, and their workers answer", n);
}

/* False: something was said of it. */
static bool check_network(struct doctor *d, const struct network *n)
{
	const struct network_team *team = n->team;

	if (!network_is_active(n) && n->autostart) {
		doctor_say(d, DOCTOR_WARNING, n->name, "vmctl net-start, and look at what it says.",
			"network '%s' is to start with the host and is not active", n->name);
		return false;
	}
	if (n->worker)
		(void)worker_probe(n->worker);
	if (n->worker && worker_is_hung(n->worker)) {
		doctor_say(d, DOCTOR_PROBLEM, n->name, "vmctl net-destroy and net-start it.",
			"the worker of network '%s' (process %d) does not answer", n->name,
			(int)worker_pid(n->worker));
		return false;
	}
	if (network_is_active(n) && team && team->known && !team->state.n_active) {
		doctor_say(d, DOCTOR_PROBLEM, n->name,
			"Look at the cables and at vmctl team-status.",
			"no uplink of network '%s' works", n->name);
		return false;
	}
	if (network_is_active(n) && team && team->known &&
		team->state.n_usable < team->state.n_members) {
		doctor_say(d, DOCTOR_WARNING, n->name, "Look at vmctl team-status.",
			"%u of the %u uplinks of network '%s' work", team->state.n_usable,
			team->state.n_members, n->name);
		return false;
	}
	return true;
}

void doctor_check_networks(struct doctor *d)
{
	unsigned n = 0;
	bool well = true;
	struct list *pos;

	list_for_each (pos, &d->manager->networks) {
		const struct network *network = list_entry(pos, struct network, link);

		n += network_is_active(network);
		well &= check_network(d, network);
	}
	if (well)
		doctor_say(d, DOCTOR_OK, "", "", "%u networks are active", n);
}
