/* Cryptographic digests: the one home of OpenSSL's EVP interface. For data people name by its
 * digest (States.Hash, revisions); the hash of tables and slots is hash_bytes() in map.h. */
#ifndef CARILLON_BASE_DIGEST_H
#define CARILLON_BASE_DIGEST_H

#include "base/err.h"
#include "base/str.h"

enum digest_alg { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512 };

enum { DIGEST_SIZE_MAX = 64 }; /* bytes of the longest digest (SHA-512) */

/* Bytes of a digest of this kind: 16, 20, 32, 48, 64. */
size_t digest_size(enum digest_alg alg);
/* The digest of "data" into "out" (room for digest_size() bytes). Any thread. ERR_UNSUPPORTED when
 * the library refuses the algorithm (MD5 under a FIPS policy). */
enum err digest_of(enum digest_alg alg, struct str data, uint8_t *out) MUST_CHECK;
/* "MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512", exactly so. */
bool digest_by_name(struct str name, enum digest_alg *out);

#endif
