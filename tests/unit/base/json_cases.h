/* Texts for the tests of JSON and YAML: what is JSON (RFC 8259) and what is not. */
#ifndef CARILLON_TESTS_JSON_CASES_H
#define CARILLON_TESTS_JSON_CASES_H

#include "base/str.h"

struct json_good {
    struct str text;
    struct str canonical;
    bool yaml; /* the same text means the same in (our) YAML */
};

#define GOOD(text, canonical) \
    { \
        STR(text), STR(canonical), true \
    }
#define GOOD_NOT_YAML(text, canonical) \
    { \
        STR(text), STR(canonical), false \
    }

static const struct json_good JSON_GOOD[] = {
    GOOD("null", "null"),
    GOOD("true", "true"),
    GOOD("false", "false"),
    GOOD(" \n\r null \n", "null"),
    GOOD_NOT_YAML("\t null \n\t", "null"),
    GOOD("0", "0"),
    GOOD("-0", "0"),
    GOOD("-0.0", "0"),
    GOOD("0e5", "0"),
    GOOD("0E-999999999999999999999", "0"),
    GOOD("1", "1"),
    GOOD("1.0", "1"),
    GOOD("1e0", "1"),
    GOOD("10e-1", "1"),
    GOOD("0.1e1", "1"),
    GOOD("100", "100"),
    GOOD("1E2", "100"),
    GOOD("1e+2", "100"),
    GOOD("-12.50", "-12.5"),
    GOOD("0.1", "0.1"),
    GOOD("0.10000000000000001", "0.1"),
    GOOD("0.1000000000000000055511151231257827", "0.1"),
    GOOD("1e-7", "1e-7"),
    GOOD("0.000001", "0.000001"),
    GOOD("0.00000123456789012345678", "0.0000012345678901234567"),
    GOOD("9007199254740993", "9007199254740993"),
    GOOD("9007199254740993.0", "9007199254740993"),
    GOOD("9007199254740992.5", "9007199254740992"),
    GOOD("9223372036854775807", "9223372036854775807"),
    GOOD("-9223372036854775808", "-9223372036854775808"),
    GOOD("123456789012345678901", "123456789012345678901"),
    GOOD("1234567890123456789012", "1.234567890123456789012e+21"),
    GOOD("1e21", "1e+21"),
    GOOD("1e20", "100000000000000000000"),
    GOOD("1e400", "1e+400"),
    GOOD("-1e400", "-1e+400"),
    GOOD("12e999999999999999", "1.2e+999999999999999"),
    GOOD("12.0E99999999999999999999", "1.2e+999999999999999"),
    GOOD("1.5e300", "1.5e+300"),
    GOOD("1e-400", "0"),
    GOOD("4.9e-324", "5e-324"),
    GOOD("2.2250738585072014e-308", "2.2250738585072014e-308"),
    GOOD("1.7976931348623157e308", "1.7976931348623157e+308"),
    GOOD("\"\"", "\"\""),
    GOOD("\"a\"", "\"a\""),
    GOOD("\"exactly8\"", "\"exactly8\""),
    GOOD("\"a longer text of more than sixteen bytes\"",
         "\"a longer text of more than sixteen bytes\""),
    GOOD("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""),
    GOOD("\"\\u0000\"", "\"\\u0000\""),
    GOOD("\"\\u001f\\u0041\\u00e4\\u20AC\"", "\"\\u001fA\xc3\xa4\xe2\x82\xac\""),
    GOOD_NOT_YAML("\"\\uD834\\uDD1E\"", "\"\xf0\x9d\x84\x9e\""),
    GOOD_NOT_YAML("\"\\uDBFF\\uDFFF\"", "\"\xf4\x8f\xbf\xbf\""),
    GOOD("\"\xc3\xa4 \xe2\x82\xac \xf0\x9d\x84\x9e\"",
         "\"\xc3\xa4 \xe2\x82\xac \xf0\x9d\x84\x9e\""),
    GOOD_NOT_YAML("\"\x7f\"", "\"\x7f\""),
    GOOD_NOT_YAML("\"\xe2\x80\xa8\"", "\"\xe2\x80\xa8\""),
    GOOD_NOT_YAML("\"\xef\xbf\xbf\"", "\"\xef\xbf\xbf\""), /* a noncharacter is a character */
    GOOD("\"no\"", "\"no\""),
    GOOD("[]", "[]"),
    GOOD("[ ]", "[]"),
    GOOD("{}", "{}"),
    GOOD("{ \n }", "{}"),
    GOOD("[1,2,3]", "[1,2,3]"),
    GOOD("[ 1 , \"a\" , null ]", "[1,\"a\",null]"),
    GOOD("[[],[[]],{}]", "[[],[[]],{}]"),
    GOOD("{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}"),
    GOOD("{\"a\":{\"a\":{\"a\":[]}}}", "{\"a\":{\"a\":{\"a\":[]}}}"),
    GOOD("{\"\":0}", "{\"\":0}"),
    GOOD("{\"a\\u0000b\":1,\"a\":2}", "{\"a\":2,\"a\\u0000b\":1}"),
    GOOD("{\"\xc3\xa4\":1,\"z\":2,\"\xf0\x9d\x84\x9e\":3,\"\xef\xbf\xa1\":4}",
         "{\"z\":2,\"\xc3\xa4\":1,\"\xef\xbf\xa1\":4,\"\xf0\x9d\x84\x9e\":3}"),
    GOOD("{\n  \"name\": \"x\",\n\t\"list\": [\n    1,\n    {\"deep\": true}\n  ]\n}\n",
         "{\"list\":[1,{\"deep\":true}],\"name\":\"x\"}"),
    GOOD("{\"a\":1,\"aa\":2,\"aaa\":3,\"b\":4,\"c\":5,\"d\":6,\"e\":7,\"f\":8,\"g\":9,\"h\":10,"
         "\"i\":11,\"j\":12,\"k\":13,\"l\":14,\"m\":15,\"n\":16,\"o\":17}",
         "{\"a\":1,\"aa\":2,\"aaa\":3,\"b\":4,\"c\":5,\"d\":6,\"e\":7,\"f\":8,\"g\":9,\"h\":10,"
         "\"i\":11,\"j\":12,\"k\":13,\"l\":14,\"m\":15,\"n\":16,\"o\":17}"),
};

struct json_bad {
    struct str text;
    const char *message; /* how it begins: position and the first words */
};

#define BAD(text, message) \
    { \
        STR(text), message \
    }

static const struct json_bad JSON_BAD[] = {
    BAD("", "1:1: the text is empty"),
    BAD("  \n ", "2:2: the text is empty"),
    BAD("\xef\xbb\xbf[]", "1:1: the text begins with a byte order mark"),
    BAD("nul", "1:1: expected a value"),
    BAD("nulL", "1:1: expected a value"),
    BAD("True", "1:1: expected a value"),
    BAD("nullx", "1:5: nothing may follow"),
    BAD("1 2", "1:3: nothing may follow"),
    BAD("[] []", "1:4: nothing may follow"),
    BAD("{} // comment", "1:4: nothing may follow"),
    BAD("/* c */ {}", "1:1: expected a value"),
    BAD("'a'", "1:1: expected a value"),
    BAD("NaN", "1:1: expected a value"),
    BAD("Infinity", "1:1: expected a value"),
    BAD("-", "1:2: not a JSON number"),
    BAD("-Infinity", "1:2: not a JSON number"),
    BAD("+1", "1:1: expected a value"),
    BAD(".5", "1:1: expected a value"),
    BAD("01", "1:2: not a JSON number"),
    BAD("-012", "1:3: not a JSON number"),
    BAD("1.", "1:3: not a JSON number"),
    BAD("1.e5", "1:3: not a JSON number"),
    BAD("1e", "1:3: not a JSON number"),
    BAD("1e+", "1:4: not a JSON number"),
    BAD("1ee5", "1:3: not a JSON number"),
    BAD("0x10", "1:2: nothing may follow"),
    BAD("1.2.3", "1:4: nothing may follow"),
    BAD("1_000", "1:2: nothing may follow"),
    BAD("[1", "1:3: expected , or ]"),
    BAD("[1,", "1:4: expected a value"),
    BAD("[1,]", "1:4: no comma may stand before"),
    BAD("[,1]", "1:2: expected a value"),
    BAD("[1,,2]", "1:4: expected a value"),
    BAD("[1 2]", "1:4: expected , or ]"),
    BAD("[1}", "1:3: expected , or ]"),
    BAD("]", "1:1: expected a value"),
    BAD("}", "1:1: expected a value"),
    BAD("[", "1:2: expected a value"),
    BAD("{", "1:2: expected a name"),
    BAD("{1:2}", "1:2: expected a name"),
    BAD("{a:2}", "1:2: expected a name"),
    BAD("{\"a\"}", "1:5: expected : after the name"),
    BAD("{\"a\" 1}", "1:6: expected : after the name"),
    BAD("{\"a\":}", "1:6: expected a value"),
    BAD("{\"a\":1,}", "1:8: no comma may stand before"),
    BAD("{\"a\":1 \"b\":2}", "1:8: expected , or }"),
    BAD("{\"a\":1]", "1:7: expected , or }"),
    BAD("{\"a\":1", "1:7: expected , or }"),
    BAD("{,}", "1:2: expected a name"),
    BAD("{\"a\":1,\n \"b\":2,\n \"a\":3}", "3:2: the name \"a\" stands twice"),
    BAD("{\"a\":1,\"\\u0061\":2}", "1:8: the name \"a\" stands twice"),
    BAD("{\"x\":{\"q\":1,\"q\":1}}", "1:13: the name \"q\" stands twice"),
    BAD("[\"\xc3\xa4\", {\"\":1,\"\":2}]", "1:13: the name \"\" stands twice"),
    BAD("\"a", "1:1: the string that begins here"),
    BAD("[\"abc\n\"]", "1:6: a control character must be escaped"),
    BAD("\"\t\"", "1:2: a control character must be escaped"),
    BAD("\"a\0b\"", "1:3: a control character must be escaped"),
    BAD("[1,\0]", "1:4: expected a value"),
    BAD("\"\\x\"", "1:2: unknown escape"),
    BAD("\"\\\0\"", "1:2: unknown escape"),
    BAD("\"\\", "1:2: unknown escape"),
    BAD("\"\\\"", "1:1: the string that begins here"),
    BAD("\"\\u12\"", "1:2: \\u wants four"),
    BAD("\"\\u12G4\"", "1:2: \\u wants four"),
    BAD("\"\\u", "1:2: \\u wants four"),
    BAD("\"\\uD800\"", "1:2: half of a surrogate pair"),
    BAD("\"\\uDC00\"", "1:2: half of a surrogate pair"),
    BAD("\"\\uD800\\n\"", "1:2: half of a surrogate pair"),
    BAD("\"\\uD800\\uD800\"", "1:2: half of a surrogate pair"),
    BAD("\"\\uD800\\uDC0", "1:2: half of a surrogate pair"),
    BAD("\"\\uDC00\\uD800\"", "1:2: half of a surrogate pair"),
    BAD("\"\x80\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xc0\x80\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xc1\xbf\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xc3\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xc3(\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xe0\x80\x80\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xe0\x9f\xbf\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xed\xa0\x80\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xed\xbf\xbf\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xe2\x82\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xf0\x80\x80\x80\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xf0\x8f\xbf\xbf\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xf4\x90\x80\x80\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xf5\x80\x80\x80\"", "1:2: these bytes are not UTF-8"),
    BAD("\"\xf0\x9d\x84", "1:2: these bytes are not UTF-8"),
    BAD("\"\xff\"", "1:2: these bytes are not UTF-8"),
    BAD("[\n\n  1,\r\n  x]", "4:3: expected a value"),
    BAD("[\r\r x]", "3:2: expected a value"),
    BAD("[\"\xe2\x82\xac\xe2\x82\xac\" x]", "1:7: expected , or ]"),
    BAD("[\xc2\xa0]", "1:2: expected a value"), /* no white space of JSON */
    BAD("[\f]", "1:2: expected a value"),
    BAD("[\v1]", "1:2: expected a value"),
};

#endif
