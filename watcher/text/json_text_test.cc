// Tests of writing JSON strings.

#include "watcher/text/json_text.h"

#include <gtest/gtest.h>

#include <random>

#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

TEST(JsonText, EscapesWhatJsonAndHtmlNeed) {
  EXPECT_EQ(JsonString("</script>\"\\\n\r\t&\x01\x7F", 100),
            "\"\\u003c/script\\u003e\\\"\\\\\\n\\r\\t\\u0026\\u0001\\u007f\"");
}

TEST(JsonText, EscapesLineSeparators) {
  EXPECT_EQ(JsonString("\xE2\x80\xA8\xE2\x80\xA9", 100), "\"\\u2028\\u2029\"");
}

TEST(JsonText, KeepsWellFormedUtf8) {
  for (const char* text : {"\xC3\xA4", "\xE4\xBA\xAC", "\xF0\x9F\x98\x80",
                           "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF"}) {
    EXPECT_EQ(JsonString(text, 100), "\"" + std::string(text) + "\"");
  }
}

TEST(JsonText, ReplacesMalformedUtf8) {
  for (const char* text : {"\x80", "\xFF", "\xC3", "\xE4\xBA", "\xC0\xAF",
                           "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
                           "\xF4\x90\x80\x80", "\xF5\x80\x80\x80"}) {
    const std::string out = JsonString(text, 100);
    EXPECT_EQ(out.substr(0, 4), "\"\xEF\xBF\xBD") << text;
  }
}

TEST(JsonText, CutsBetweenCharacters) {
  EXPECT_EQ(JsonString("a\xE4\xBA\xAC", 3), "\"a\"");
  EXPECT_EQ(JsonString("a\xE4\xBA\xAC", 4), "\"a\xE4\xBA\xAC\"");
  EXPECT_EQ(JsonString("ab", 0), "\"\"");
}

TEST(JsonText, NeverOutgrowsItsBoundAndAlwaysParses) {
  std::mt19937 random(1);
  for (int i = 0; i < 5000; i++) {
    std::string text(random() % 40, '\0');
    for (char& c : text) c = static_cast<char>(random());
    const size_t max = random() % 50;
    const std::string out = JsonString(text, max);
    EXPECT_LE(out.size(), MaxJsonStringBytes(max));
    EXPECT_LE(out.size(), MaxJsonStringBytes(text.size()));
    EXPECT_EQ(out.find('<'), std::string::npos);
    EXPECT_TRUE(ParseJson(out).ok());
  }
}

}  // namespace
}  // namespace dynweight
