/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of TLS: see tls-store.h. */
#include "daemon/tls-store.h"

#include <fcntl.h>
#include <gnutls/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define MAY_BE_MISSING 1U
#define IS_SECRET      2U

enum { CA, CERT, KEY, CRL, ROLES, N_FILES };

static const struct {
	const char *name;
	size_t max;
	unsigned flags;
} files[N_FILES] = {
	[CA] = {TLS_FILE_CA, TLS_FILE_MAX, 0},
	[CERT] = {TLS_FILE_CERT, TLS_FILE_MAX, 0},
	[KEY] = {TLS_FILE_KEY, TLS_FILE_MAX, IS_SECRET},
	[CRL] = {TLS_FILE_CRL, TLS_CRL_MAX, MAY_BE_MISSING},
	[ROLES] = {TLS_FILE_ROLES, TLS_ROLES_BYTES, 0},
};

/* By which a change is seen; all zero: it is not there. */
struct stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec mtime, ctime;
};

struct tls_store {
	char *dir;
	struct stamp stamps[N_FILES + 1]; /* the last one: of the folder */
	struct tls_creds *creds;          /* NULL: none yet, or what is there is wrong */
	char why[TLS_WHY_MAX];
};

struct tls_creds *tls_creds_ref(struct tls_creds *creds)
{
	creds->n_ref++;
	return creds;
}

struct tls_creds *tls_creds_unref(struct tls_creds *creds)
{
	if (!creds || --creds->n_ref)
		return NULL;
	if (creds->cred)
		gnutls_certificate_free_credentials(creds->cred);
	(void)tls_roles_free(creds->roles);
	free(creds);
	return NULL;
}

static int _printf_(3, 4) fail(int r, char why[TLS_WHY_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(why, TLS_WHY_MAX, format, ap);
	va_end(ap);
	return r;
}

/* Can somebody else change it? */
static int check_stat(const struct stat *st, const char *name, char why[TLS_WHY_MAX])
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return fail(-EPERM, why, "%s belongs to uid %u: it must belong to root", name,
			(unsigned)st->st_uid);
	if (st->st_mode & 022)
		return fail(-EPERM, why, "%s can be written by others: chmod go-w it", name);
	return 0;
}

static void wipe(gnutls_datum_t *d)
{
	if (d->data) {
		explicit_bzero(d->data, d->size);
		free(d->data);
	}
	*d = (gnutls_datum_t){0};
}

static int check_file(int fd, unsigned which, struct stat *ret, char why[TLS_WHY_MAX])
{
	const char *name = files[which].name;
	int r;

	if (fstat(fd, ret) < 0)
		return fail(-errno, why, "%s: %s", name, strerror(errno));
	if (!S_ISREG(ret->st_mode))
		return fail(-EINVAL, why, "%s is no file", name);
	r = check_stat(ret, name, why);
	if (r < 0)
		return r;
	if (files[which].flags & IS_SECRET && ret->st_mode & 077)
		return fail(-EPERM, why, "%s can be read by others: chmod 600 it", name);
	if ((uint64_t)ret->st_size > files[which].max)
		return fail(-EFBIG, why, "%s is larger than %zu bytes", name, files[which].max);
	return 0;
}

/* The whole file, for who frees it; none and 0 if it may be missing. */
static int read_one(int dir, unsigned which, gnutls_datum_t *ret, char why[TLS_WHY_MAX])
{
	const char *name = files[which].name;
	_cleanup_(closep) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0 && errno == ENOENT && files[which].flags & MAY_BE_MISSING)
		return 0;
	if (fd < 0)
		return fail(-errno, why, "%s: %s", name, strerror(errno));
	r = check_file(fd, which, &st, why);
	if (r < 0)
		return r;
	ret->data = malloc((size_t)st.st_size + 1);
	if (!ret->data)
		return fail(-ENOMEM, why, "out of memory");
	ret->size = (unsigned)st.st_size;
	r = pread_full(fd, ret->data, ret->size, 0);
	return r < 0 ? fail(r, why, "%s: %s", name, strerror(-r)) : 0;
}

/* GnuTLS itself does not notice that a key of Ed25519 is another one's. */
static bool is_key_of(gnutls_certificate_credentials_t cred, gnutls_x509_crt_t crt)
{
	uint8_t key_id[64], crt_id[64];
	size_t key_len = sizeof(key_id), crt_len = sizeof(crt_id);
	gnutls_x509_privkey_t key;
	int r = gnutls_certificate_get_x509_key(cred, 0, &key);

	if (r < 0)
		return false;
	r = gnutls_x509_privkey_get_key_id(key, 0, key_id, &key_len);
	gnutls_x509_privkey_deinit(key);
	return r >= 0 && gnutls_x509_crt_get_key_id(crt, 0, crt_id, &crt_len) >= 0 &&
		key_len == crt_len && memcmp(key_id, crt_id, key_len) == 0;
}

/* The daemon's certificate as it has been loaded: until when it is good; -EKEYREJECTED: the key is another one's. */
static int look_at_own(gnutls_certificate_credentials_t cred, int64_t *ret_expires_s)
{
	gnutls_x509_crt_t *chain;
	unsigned n;
	int r = gnutls_certificate_get_x509_crt(cred, 0, &chain, &n);

	if (r < 0)
		return -EINVAL;
	r = n && is_key_of(cred, chain[0]) ? 0 : -EKEYREJECTED;
	if (r >= 0)
		*ret_expires_s = gnutls_x509_crt_get_expiration_time(chain[0]);
	for (unsigned i = 0; i < n; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_free(chain);
	return r;
}

/* One list: it must be of one of the CAs, for else it would be of no effect. */
static int check_list(struct tls_creds *creds, gnutls_x509_crl_t crl, const gnutls_x509_crt_t *cas,
	unsigned n_cas)
{
	const unsigned bad = GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNATURE_FAILURE |
		GNUTLS_CERT_SIGNER_NOT_CA | GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE;
	int64_t next_s = gnutls_x509_crl_get_next_update(crl);
	unsigned status = GNUTLS_CERT_INVALID;

	if (gnutls_x509_crl_verify(crl, cas, (int)n_cas, 0, &status) < 0 || status & bad)
		return -EKEYREJECTED;
	if (next_s > 0 && (!creds->crl_until_s || next_s < creds->crl_until_s))
		creds->crl_until_s = next_s;
	return 0;
}

static int check_lists(struct tls_creds *creds, const gnutls_datum_t text[N_FILES])
{
	gnutls_x509_crt_t *cas;
	gnutls_x509_crl_t *lists;
	unsigned n_cas, n_lists;
	int r = gnutls_x509_crt_list_import2(&cas, &n_cas, &text[CA], GNUTLS_X509_FMT_PEM, 0);

	if (r < 0)
		return -EINVAL;
	r = gnutls_x509_crl_list_import2(&lists, &n_lists, &text[CRL], GNUTLS_X509_FMT_PEM, 0);
	if (r >= 0) {
		r = 0;
		for (unsigned i = 0; i < n_lists; i++) {
			r = r < 0 ? r : check_list(creds, lists[i], cas, n_cas);
			gnutls_x509_crl_deinit(lists[i]);
		}
		gnutls_free(lists);
	} else {
		r = -EINVAL;
	}
	for (unsigned i = 0; i < n_cas; i++)
		gnutls_x509_crt_deinit(cas[i]);
	gnutls_free(cas);
	return r;
}

static int take_crl(
	struct tls_creds *creds, const gnutls_datum_t text[N_FILES], char why[TLS_WHY_MAX])
{
	int r = gnutls_certificate_set_x509_crl_mem(creds->cred, &text[CRL], GNUTLS_X509_FMT_PEM);

	if (r <= 0)
		return fail(-EINVAL, why, "%s: %s", files[CRL].name,
			r < 0 ? gnutls_strerror(r) : "there is no list in it");
	r = check_lists(creds, text);
	return r < 0 ? fail(r, why, "%s is not of a CA in %s", files[CRL].name, files[CA].name) : 0;
}

static int take_crypto(struct tls_creds *creds, gnutls_datum_t text[N_FILES], char why[TLS_WHY_MAX])
{
	int r = gnutls_certificate_allocate_credentials(&creds->cred);

	if (r < 0)
		return fail(-ENOMEM, why, "out of memory");
	gnutls_certificate_set_verify_limits(creds->cred, TLS_VERIFY_BITS, TLS_VERIFY_DEPTH);
	r = gnutls_certificate_set_x509_trust_mem(creds->cred, &text[CA], GNUTLS_X509_FMT_PEM);
	if (r <= 0)
		return fail(-EINVAL, why, "%s: %s", files[CA].name,
			r < 0 ? gnutls_strerror(r) : "there is no certificate in it");
	r = gnutls_certificate_set_x509_key_mem(
		creds->cred, &text[CERT], &text[KEY], GNUTLS_X509_FMT_PEM);
	if (r < 0)
		return fail(-EINVAL, why, "%s with %s: %s", files[CERT].name, files[KEY].name,
			gnutls_strerror(r));
	r = look_at_own(creds->cred, &creds->expires_s);
	if (r < 0)
		return fail(r, why, "%s is not the key of %s", files[KEY].name, files[CERT].name);
	return text[CRL].data ? take_crl(creds, text, why) : 0;
}

static int open_dir(const char *dir, char why[TLS_WHY_MAX])
{
	_cleanup_(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(-errno, why, "the folder: %s", strerror(errno));
	r = check_stat(&st, "the folder", why);
	return r < 0 ? r : TAKE_FD(fd);
}

int tls_creds_load(const char *dir, struct tls_creds **ret_creds, char why[TLS_WHY_MAX])
{
	_cleanup_(tls_creds_unrefp) struct tls_creds *creds = calloc(1, sizeof(*creds));
	_cleanup_(closep) int fd = open_dir(dir, why);
	gnutls_datum_t text[N_FILES] = {0};
	char reason[TLS_WHY_MAX];
	int r = fd < 0 ? fd : 0;

	if (!creds)
		return fail(-ENOMEM, why, "out of memory");
	creds->n_ref = 1;
	for (unsigned i = 0; i < N_FILES && r >= 0; i++)
		r = read_one(fd, i, &text[i], why);
	if (r >= 0)
		r = take_crypto(creds, text, why);
	if (r >= 0) {
		r = tls_roles_parse(
			(char *)text[ROLES].data, text[ROLES].size, &creds->roles, reason);
		if (r < 0)
			(void)fail(r, why, "%s: %.400s", files[ROLES].name, reason);
	}
	for (unsigned i = 0; i < N_FILES; i++)
		wipe(&text[i]);
	if (r >= 0)
		*ret_creds = TAKE_PTR(creds);
	return r;
}

/* GnuTLS goes on with an old list for ever. */
static unsigned list_status(const struct tls_creds *creds)
{
	return creds->crl_until_s && time(NULL) > creds->crl_until_s
		? GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED
		: 0;
}

unsigned tls_creds_verify(const struct tls_creds *creds, gnutls_session_t session)
{
	gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT,
	};
	unsigned status = GNUTLS_CERT_INVALID;

	if (gnutls_certificate_verify_peers(session, &purpose, 1, &status) < 0)
		return GNUTLS_CERT_INVALID;
	return status | list_status(creds);
}

/* The peer's chain, for who frees it; how many, or -EINVAL. */
static int import_chain(gnutls_session_t session, gnutls_x509_crt_t ret[TLS_VERIFY_DEPTH])
{
	unsigned n = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &n);
	unsigned done = 0;

	n = chain ? MIN(n, (unsigned)TLS_VERIFY_DEPTH) : 0;
	for (; done < n; done++) {
		if (gnutls_x509_crt_init(&ret[done]) < 0)
			break;
		if (gnutls_x509_crt_import(ret[done], &chain[done], GNUTLS_X509_FMT_DER) < 0)
			n = 0; /* 'done' is to be freed, too */
	}
	if (n && done == n)
		return (int)n;
	while (done)
		gnutls_x509_crt_deinit(ret[--done]);
	return -EINVAL;
}

/* Not by the session's own credentials, which are those that it was let in with. */
unsigned tls_creds_verify_again(const struct tls_creds *creds, gnutls_session_t session)
{
	gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT,
	};
	gnutls_x509_crt_t chain[TLS_VERIFY_DEPTH];
	unsigned status = GNUTLS_CERT_INVALID;
	gnutls_x509_trust_list_t trust;
	int n = import_chain(session, chain);

	if (n < 0)
		return GNUTLS_CERT_INVALID;
	gnutls_certificate_get_trust_list(creds->cred, &trust);
	if (gnutls_x509_trust_list_verify_crt2(
		    trust, chain, (unsigned)n, &purpose, 1, 0, &status, NULL) < 0)
		status = GNUTLS_CERT_INVALID;
	for (int i = 0; i < n; i++)
		gnutls_x509_crt_deinit(chain[i]);
	return status | list_status(creds);
}

bool tls_status_vouches(unsigned status)
{
	const unsigned fine = GNUTLS_CERT_REVOKED | GNUTLS_CERT_EXPIRED |
		GNUTLS_CERT_NOT_ACTIVATED | GNUTLS_CERT_PURPOSE_MISMATCH |
		GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED |
		GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE;

	/* INVALID alone: it could not be looked at. */
	return !status || (status & fine && !(status & ~(fine | GNUTLS_CERT_INVALID)));
}

const char *tls_status_text(unsigned status, gnutls_alert_description_t *ret_alert)
{
	static const struct {
		unsigned bit;
		gnutls_alert_description_t alert;
		const char *text;
	} rows[] = {
		{GNUTLS_CERT_REVOKED, GNUTLS_A_CERTIFICATE_REVOKED, "the certificate was revoked"},
		{GNUTLS_CERT_SIGNER_NOT_FOUND, GNUTLS_A_UNKNOWN_CA,
			"the certificate is not of a CA in " TLS_FILE_CA},
		{GNUTLS_CERT_EXPIRED, GNUTLS_A_CERTIFICATE_EXPIRED, "the certificate has expired"},
		{GNUTLS_CERT_NOT_ACTIVATED, GNUTLS_A_CERTIFICATE_EXPIRED,
			"the certificate is not valid yet"},
		{GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED, GNUTLS_A_CERTIFICATE_UNKNOWN,
			TLS_FILE_CRL " is out of date"},
		{GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE, GNUTLS_A_CERTIFICATE_UNKNOWN,
			TLS_FILE_CRL " is not valid yet"},
		{GNUTLS_CERT_PURPOSE_MISMATCH, GNUTLS_A_UNSUPPORTED_CERTIFICATE,
			"the certificate is not for clients"},
		{GNUTLS_CERT_INSECURE_ALGORITHM, GNUTLS_A_UNSUPPORTED_CERTIFICATE,
			"the certificate's algorithms are too weak"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!(status & rows[i].bit))
			continue;
		*ret_alert = rows[i].alert;
		return rows[i].text;
	}
	*ret_alert = GNUTLS_A_BAD_CERTIFICATE;
	return "the certificate is not valid";
}

/* What the names of one certificate say. */
struct verdict {
	const struct tls_roles *roles;
	const struct tls_role *row; /* of the first name that the map has */
	bool differs;
	char first[CERTIFICATE_NAME_MAX]; /* the first name, for the log */
};

/* What has a NUL, or is too long, is no line's name. */
static void try_name(struct verdict *v, const char *kind, const char *value, size_t len)
{
	char name[CERTIFICATE_NAME_MAX];
	const struct tls_role *row;

	if (!len || memchr(value, 0, len) ||
		snprintf(name, sizeof(name), "%s%.*s", kind, (int)MIN(len, sizeof(name)), value) >=
			(int)sizeof(name))
		return;
	if (!*v->first)
		strcpy(v->first, name);
	row = tls_roles_find(v->roles, name);
	if (row && v->row)
		v->differs |= !tls_role_same(row, v->row);
	else if (row)
		v->row = row;
}

/* 0, or -E2BIG: there are more names than are looked at. */
static int try_names(struct verdict *v, gnutls_x509_crt_t crt)
{
	char text[CERTIFICATE_NAME_MAX];

	for (unsigned i = 0;; i++) {
		size_t size = sizeof(text);
		int r = gnutls_x509_crt_get_dn_by_oid(
			crt, GNUTLS_OID_X520_COMMON_NAME, i, 0, text, &size);

		if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			break;
		if (i >= TLS_NAMES_MAX)
			return -E2BIG;
		if (r >= 0)
			try_name(v, "cn:", text, size);
	}
	for (unsigned i = 0;; i++) {
		size_t size = sizeof(text);
		int r = gnutls_x509_crt_get_subject_alt_name(crt, i, text, &size, NULL);

		if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return 0;
		if (i >= TLS_NAMES_MAX)
			return -E2BIG;
		if (r == GNUTLS_SAN_DNSNAME)
			try_name(v, "dns:", text, size);
		else if (r == GNUTLS_SAN_URI)
			try_name(v, "uri:", text, size);
	}
}

/* The certificate that the peer has shown, as 'names' see it. */
static int read_names(struct verdict *v, gnutls_session_t session)
{
	unsigned n = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &n);
	gnutls_x509_crt_t crt;
	int r = -EINVAL;

	if (!chain || !n || gnutls_x509_crt_init(&crt) < 0)
		return -EINVAL;
	if (gnutls_x509_crt_import(crt, &chain[0], GNUTLS_X509_FMT_DER) >= 0)
		r = try_names(v, crt);
	gnutls_x509_crt_deinit(crt);
	return r;
}

int tls_creds_peer(const struct tls_creds *creds, gnutls_session_t session, struct api_peer *peer,
	char why[TLS_WHY_MAX])
{
	struct verdict v = {.roles = creds->roles};
	int r = read_names(&v, session);

	(void)str_copy(peer->certificate, sizeof(peer->certificate), v.row ? v.row->name : v.first);
	text_clean(peer->certificate);
	if (r < 0)
		return fail(-EACCES, why,
			r == -E2BIG ? "the certificate has too many names"
				    : "the certificate cannot be read");
	if (!v.row)
		return fail(-EACCES, why, "no line of '" TLS_FILE_ROLES "' names the certificate");
	if (v.differs)
		return fail(-EACCES, why,
			"lines of '" TLS_FILE_ROLES
			"' that name the certificate do not say the same");
	peer->role = v.row->role;
	(void)str_copy(peer->user.name, sizeof(peer->user.name), v.row->user);
	return 0;
}

int tls_store_new(const char *dir, struct tls_store **ret_store)
{
	_cleanup_(tls_store_freep) struct tls_store *store = calloc(1, sizeof(*store));

	if (store)
		store->dir = strdup(dir);
	if (!store || !store->dir)
		return -ENOMEM;
	*ret_store = TAKE_PTR(store);
	return 0;
}

struct tls_store *tls_store_free(struct tls_store *store)
{
	if (!store)
		return NULL;
	(void)tls_creds_unref(store->creds);
	free(store->dir);
	free(store);
	return NULL;
}

static void take_stamp(int dir, const char *path, struct stamp *ret)
{
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	if (fstatat(dir, path, &st, 0) < 0)
		return;
	ret->device = st.st_dev;
	ret->inode = st.st_ino;
	ret->size = st.st_size;
	ret->mtime = st.st_mtim;
	ret->ctime = st.st_ctim;
}

/* Errors that say nothing about the files. */
static bool passes(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EINTR || r == -EAGAIN;
}

int tls_store_get(struct tls_store *store, struct tls_creds **ret_creds, char why[TLS_WHY_MAX])
{
	struct stamp stamps[N_FILES + 1];
	_cleanup_(closep) int dir = open(store->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (dir < 0 && passes(-errno))
		return fail(-errno, why, "the folder: %s", strerror(errno));
	for (unsigned i = 0; i < N_FILES; i++)
		take_stamp(dir, files[i].name, &stamps[i]);
	take_stamp(AT_FDCWD, store->dir, &stamps[N_FILES]);
	if (memcmp(stamps, store->stamps, sizeof(stamps)) != 0 || !(store->creds || *store->why)) {
		/* Before they are read: what changes meanwhile is read again. */
		memcpy(store->stamps, stamps, sizeof(stamps));
		store->creds = tls_creds_unref(store->creds);
		*store->why = 0;
		r = tls_creds_load(store->dir, &store->creds, store->why);
		r = r < 0 ? r : 1;
	} else if (!store->creds) {
		r = -ESTALE;
	}
	if (r < 0) {
		memcpy(why, store->why, sizeof(store->why));
		/* Then the next one reads them again, changed or not. */
		if (passes(r))
			*store->why = 0;
		return r;
	}
	*ret_creds = tls_creds_ref(store->creds);
	return r;
}
