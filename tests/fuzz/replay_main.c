/* Runs a fuzz target over its committed inputs: the files and folders of the arguments, in order of
 * name, then the empty input and every prefix and one-bit change of short inputs, which is where
 * bounds are got wrong. Linked instead of libFuzzer, so that each test run, also under the
 * sanitizers, replays what the fuzzers found. */
#include "base/prelude.h"

#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

enum { INPUT_MAX = 4 << 20, SHORT_MAX = 256, PATH_SIZE = 1024 };

static size_t inputs;

/* The target gets a copy of exact size, so that the address sanitizer sees the end. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    inputs++;
}

static void run_neighbours(uint8_t *bytes, size_t size)
{
    for (size_t n = 0; n < size; n++) {
        run(bytes, n);
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        uint8_t mask = (uint8_t)(1u << (bit % 8));
        bytes[bit / 8] ^= mask;
        run(bytes, size);
        bytes[bit / 8] ^= mask;
    }
}

static bool run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_MAX);
    bool good = f != NULL && bytes != NULL;
    if (good) {
        size_t size = fread(bytes, 1, INPUT_MAX, f);
        good = ferror(f) == 0;
        run(bytes, size);
        if (size <= SHORT_MAX) {
            run_neighbours(bytes, size);
        }
    }
    if (!good) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    }
    if (f != NULL) {
        fclose(f);
    }
    free(bytes);
    return good;
}

static bool run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    if (!S_ISDIR(st.st_mode)) {
        return run_file(path);
    }
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, NULL, alphasort);
    bool good = n >= 0;
    for (int i = 0; i < n; i++) {
        char child[PATH_SIZE];
        if (entries[i]->d_name[0] != '.') {
            snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name);
            good = run_path(child) && good;
        }
        free(entries[i]);
    }
    free(entries);
    return good;
}

int main(int argc, char **argv)
{
    bool good = argc > 1;
    run((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        size_t before = inputs;
        good = run_path(argv[i]) && good;
        if (inputs == before) {
            fprintf(stderr, "%s: no input\n", argv[i]);
            good = false;
        }
    }
    printf("%zu inputs\n", inputs);
    return good ? 0 : 1;
}
