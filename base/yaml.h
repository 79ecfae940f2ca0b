/* YAML as a JSON tree with positions (wraps libyaml's event interface).
 *
 * Anchors, aliases, tags (but !!str and the non-specific "!"), merge keys, multiple documents,
 * duplicate keys and non-string keys are refused; depth and node count are bounded. Plain scalars
 * follow the JSON schema of YAML 1.2: null ~ "" true false and JSON numbers; all else is a
 * string ("no", "on", 0777 stay strings). Each value carries line and column. */
#ifndef CARILLON_BASE_YAML_H
#define CARILLON_BASE_YAML_H

#include "base/json.h"

struct yaml_limits {
    uint32_t depth;
    uint32_t nodes;
    size_t size;
};
#define YAML_LIMITS ((struct yaml_limits){.depth = 32, .nodes = 20000, .size = 256u << 10})

enum err yaml_parse(struct arena *a, struct str text, struct yaml_limits limits,
                    const struct jv **out, struct err_detail *detail) MUST_CHECK;

#endif
