/* A file of roots (certificates in PEM that others' certificates are judged by), shared by
 * reference. The system's has some 140 of them: 40 ms to parse and 1.3 MiB to hold, so that it is
 * kept as an fd until the first handshake; what the operator names himself is parsed at once, and
 * what is wrong with it is told then. */
#pragma once
#include "base/buf.h"
#include <openssl/x509.h>

#define ROOTS_FILE_MAX (8u << 20)

struct roots;
/* The fd is duplicated. now: parsed at once; -EBADMSG: there is no certificate in it. */
MUST_CHECK int roots_new(int fd, bool now, struct roots **ret_roots);
struct roots *roots_ref(struct roots *r); /* NULL allowed */
void roots_unref(struct roots *r);	  /* NULL allowed */
/* Borrowed; NULL: there are none, or they are unusable (said in the log once: roots-unusable). The
 * first call parses, which takes tens of milliseconds where there are many. */
X509_STORE *roots_store(struct roots *r); /* NULL allowed */
/* Their text, appended: for libraries that parse for themselves. */
MUST_CHECK int roots_read(const struct roots *r, struct buf *out);
