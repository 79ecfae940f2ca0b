/* Digests over OpenSSL's EVP interface (see digest.h). Pure: bytes in, bytes out. */
#include "base/prelude.h"

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/digest.h"

static const struct {
    const char *name;
    size_t size;
    const EVP_MD *(*md)(void);
} algs[] = {
    [DIGEST_MD5] = {"MD5", 16, EVP_md5},           [DIGEST_SHA1] = {"SHA-1", 20, EVP_sha1},
    [DIGEST_SHA256] = {"SHA-256", 32, EVP_sha256}, [DIGEST_SHA384] = {"SHA-384", 48, EVP_sha384},
    [DIGEST_SHA512] = {"SHA-512", 64, EVP_sha512},
};

size_t digest_size(enum digest_alg alg)
{
    PRE((size_t)alg < ARRAY_LEN(algs));
    return algs[alg].size;
}

enum err digest_of(enum digest_alg alg, struct str data, uint8_t *out)
{
    PRE((size_t)alg < ARRAY_LEN(algs));
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    /* EVP_Digest wants a pointer even for nothing. */
    const void *p = data.size == 0 ? "" : data.p;
    if (EVP_Digest(p, data.size, md, &size, algs[alg].md(), NULL) != 1) {
        return ERR_UNSUPPORTED;
    }
    POST(size == algs[alg].size);
    memcpy(out, md, size);
    return ERR_OK;
}

bool digest_by_name(struct str name, enum digest_alg *out)
{
    for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
        if (str_eqc(name, algs[i].name)) {
            *out = (enum digest_alg)i;
            return true;
        }
    }
    return false;
}
