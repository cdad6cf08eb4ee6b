/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates for tests, made by GnuTLS itself: two CAs, and what they have signed or revoked. Keys are of Ed25519: quick to make. */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"

#define PKI_DAY INT64_C(86400)

struct pki_ca {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
};

struct pki {
	char dir[128];
	struct pki_ca ca, other;
	unsigned serial;
};

/* What a certificate is to say. */
struct pki_plan {
	const char *cn, *cn2, *dns, *uri, *ip;
	int from_days, to_days; /* from today; both 0: it is valid */
	bool server;            /* for servers only; else for clients only */
	bool any_purpose, other_ca, weak;
	unsigned n_names; /* more dNSNames */
};

struct pki_pair {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
};

static inline void pki_pair_done(struct pki_pair *p)
{
	gnutls_x509_crt_deinit(p->crt);
	gnutls_x509_privkey_deinit(p->key);
}

static inline gnutls_x509_privkey_t pki_key(void)
{
	gnutls_x509_privkey_t key;

	assert_int_equal(gnutls_x509_privkey_init(&key), 0);
	assert_int_equal(gnutls_x509_privkey_generate(key, GNUTLS_PK_EDDSA_ED25519, 256, 0), 0);
	return key;
}

static inline void pki_begin(struct pki *pki, gnutls_x509_crt_t *ret, gnutls_x509_privkey_t key,
	const char *cn, int from, int to)
{
	unsigned serial = htobe32(++pki->serial);
	time_t now = time(NULL);

	assert_int_equal(gnutls_x509_crt_init(ret), 0);
	assert_int_equal(gnutls_x509_crt_set_version(*ret, 3), 0);
	assert_int_equal(gnutls_x509_crt_set_serial(*ret, &serial, sizeof(serial)), 0);
	assert_int_equal(gnutls_x509_crt_set_key(*ret, key), 0);
	gnutls_x509_crt_set_activation_time(*ret, now + from * PKI_DAY);
	gnutls_x509_crt_set_expiration_time(*ret, now + to * PKI_DAY);
	if (cn)
		assert_int_equal(gnutls_x509_crt_set_dn_by_oid(*ret, GNUTLS_OID_X520_COMMON_NAME, 0,
					 cn, (unsigned)strlen(cn)),
			0);
}

static inline void pki_make_ca(struct pki *pki, struct pki_ca *ca, const char *cn)
{
	ca->key = pki_key();
	pki_begin(pki, &ca->crt, ca->key, cn, -1, 3650);
	assert_int_equal(gnutls_x509_crt_set_ca_status(ca->crt, 1), 0);
	assert_int_equal(gnutls_x509_crt_set_key_usage(
				 ca->crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN),
		0);
	assert_int_equal(gnutls_x509_crt_sign2(ca->crt, ca->crt, ca->key, GNUTLS_DIG_SHA512, 0), 0);
}

static inline struct pki_pair pki_make(struct pki *pki, const struct pki_plan *plan)
{
	struct pki_pair p = {.key = pki_key()};
	struct pki_ca *ca = plan->other_ca ? &pki->other : &pki->ca;
	bool now = !plan->from_days && !plan->to_days;
	char name[32];

	pki_begin(
		pki, &p.crt, p.key, plan->cn, now ? -1 : plan->from_days, now ? 30 : plan->to_days);
	if (plan->cn2)
		gnutls_x509_crt_set_dn_by_oid(p.crt, GNUTLS_OID_X520_COMMON_NAME, 0, plan->cn2,
			(unsigned)strlen(plan->cn2));
	if (plan->dns)
		gnutls_x509_crt_set_subject_alt_name(p.crt, GNUTLS_SAN_DNSNAME, plan->dns,
			(unsigned)strlen(plan->dns), GNUTLS_FSAN_APPEND);
	if (plan->uri)
		gnutls_x509_crt_set_subject_alt_name(p.crt, GNUTLS_SAN_URI, plan->uri,
			(unsigned)strlen(plan->uri), GNUTLS_FSAN_APPEND);
	if (plan->ip)
		gnutls_x509_crt_set_subject_alt_name(
			p.crt, GNUTLS_SAN_IPADDRESS, plan->ip, 4, GNUTLS_FSAN_APPEND);
	for (unsigned i = 0; i < plan->n_names; i++)
		gnutls_x509_crt_set_subject_alt_name(p.crt, GNUTLS_SAN_DNSNAME, name,
			(unsigned)snprintf(name, sizeof(name), "n%u.example", i),
			GNUTLS_FSAN_APPEND);
	if (!plan->any_purpose)
		gnutls_x509_crt_set_key_purpose_oid(p.crt,
			plan->server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT, 0);
	gnutls_x509_crt_set_key_usage(p.crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
	assert_int_equal(gnutls_x509_crt_sign2(p.crt, ca->crt, ca->key, GNUTLS_DIG_SHA512, 0), 0);
	return p;
}

static inline void pki_write(
	struct pki *pki, const char *name, mode_t mode, const void *data, size_t len)
{
	char path[192], new[200];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", pki->dir, name);
	snprintf(new, sizeof(new), "%s.new", path);
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, data, len), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	assert_int_equal(rename(new, path), 0);
}

static inline void pki_write_text(struct pki *pki, const char *name, mode_t mode, const char *text)
{
	pki_write(pki, name, mode, text, strlen(text));
}

static inline void pki_write_crt(struct pki *pki, const char *name, gnutls_x509_crt_t crt)
{
	gnutls_datum_t d;

	assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &d), 0);
	pki_write(pki, name, 0644, d.data, d.size);
	gnutls_free(d.data);
}

static inline void pki_write_key(struct pki *pki, const char *name, gnutls_x509_privkey_t key)
{
	gnutls_datum_t d;

	assert_int_equal(
		gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, 0, &d), 0);
	pki_write(pki, name, 0600, d.data, d.size);
	gnutls_free(d.data);
}

/* Two certificates' pair of files: NAME.pem and NAME-key.pem. */
static inline void pki_write_pair(struct pki *pki, const char *name, const struct pki_plan *plan)
{
	struct pki_pair p = pki_make(pki, plan);
	char file[64];

	snprintf(file, sizeof(file), "%s.pem", name);
	pki_write_crt(pki, file, p.crt);
	snprintf(file, sizeof(file), "%s-key.pem", name);
	pki_write_key(pki, file, p.key);
	pki_pair_done(&p);
}

/* A list of the CA's that has 'revoked' (may be NULL); its next one was, or is, due in so many days. */
static inline void pki_write_crl(struct pki *pki, gnutls_x509_crt_t revoked, int next_days)
{
	time_t now = time(NULL);
	gnutls_x509_crl_t crl;
	gnutls_datum_t d;

	assert_int_equal(gnutls_x509_crl_init(&crl), 0);
	gnutls_x509_crl_set_version(crl, 2);
	gnutls_x509_crl_set_this_update(crl, now - 2 * PKI_DAY);
	gnutls_x509_crl_set_next_update(crl, now + next_days * PKI_DAY);
	gnutls_x509_crl_set_number(crl, "\1", 1);
	if (revoked)
		assert_int_equal(gnutls_x509_crl_set_crt(crl, revoked, now - PKI_DAY), 0);
	assert_int_equal(
		gnutls_x509_crl_sign2(crl, pki->ca.crt, pki->ca.key, GNUTLS_DIG_SHA512, 0), 0);
	assert_int_equal(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &d), 0);
	pki_write(pki, "crl.pem", 0644, d.data, d.size);
	gnutls_free(d.data);
	gnutls_x509_crl_deinit(crl);
}

/* A folder with all that a server needs, and a map without a line. */
static inline void pki_open(struct pki *pki, const char *dir)
{
	*pki = (struct pki){0};
	snprintf(pki->dir, sizeof(pki->dir), "%s", dir);
	assert_int_equal(mkdir(pki->dir, 0700), 0);
	pki_make_ca(pki, &pki->ca, "test CA");
	pki_make_ca(pki, &pki->other, "other CA");
	pki_write_crt(pki, "ca.pem", pki->ca.crt);
	pki_write_pair(pki, "server",
		&(struct pki_plan){
			.cn = "server", .dns = "localhost", .ip = "\x7f\0\0\1", .server = true});
	pki_write_text(pki, "roles", 0644, "# nobody\n");
}

static inline void pki_done(struct pki *pki)
{
	gnutls_x509_crt_deinit(pki->ca.crt);
	gnutls_x509_privkey_deinit(pki->ca.key);
	gnutls_x509_crt_deinit(pki->other.crt);
	gnutls_x509_privkey_deinit(pki->other.key);
}
