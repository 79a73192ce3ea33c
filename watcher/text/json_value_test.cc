// Tests of the checked reading of JSON.

#include "watcher/text/json_value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace dynweight {
namespace {

using testing::HasSubstr;

// As a worker does, before any test starts a thread.
class Arenas : public testing::Environment {
 public:
  void SetUp() override { UseJsonArenas(); }
};
[[maybe_unused]] testing::Environment* const arenas =
    testing::AddGlobalTestEnvironment(new Arenas);

class JsonValueTest : public testing::Test {
 protected:
  const cJSON* Parse(std::string_view text) {
    document_ = ParseJson(text).value();
    return document_.get();
  }
  std::string Message() { return std::string(reader_.status().message()); }

  JsonDocument document_;
  JsonReader reader_{"Pod"};
};

TEST_F(JsonValueTest, ParsesOneValueAndWhiteSpaceOnly) {
  EXPECT_TRUE(ParseJson(" {} \r\n\t").ok());
  for (const char* text :
       {"", " ", "{", "{}x", "{} {}", "{\"a\":}", "nul", "{\"a\":1", "[1,]"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseJson(text).status())) << text;
  }
}

TEST_F(JsonValueTest, ParseMessagesDoNotQuoteTheText) {
  EXPECT_EQ(std::string(ParseJson("{\"token\":secret}").status().message())
                .find("secret"),
            std::string::npos);
}

TEST_F(JsonValueTest, ADocumentLargerThanABlockStaysWhole) {
  std::string text = "{\"long\":\"" + std::string(1000000, 'x') + "\"";
  for (int i = 0; i < 20000; ++i) {
    text += ",\"" + std::to_string(i) + "\":" + std::to_string(i);
  }
  const cJSON* root = Parse(text + "}");
  EXPECT_EQ(reader_.String(root, "long", 1000000).size(), 1000000u);
  EXPECT_EQ(reader_.Count(root, "0"), 0u);
  EXPECT_EQ(reader_.Count(root, "19999"), 19999u);
}

TEST_F(JsonValueTest, ADocumentOutlivesThoseParsedAfterIt) {
  std::vector<JsonDocument> documents;
  for (int i = 0; i < 100; ++i) {
    documents.push_back(*ParseJson("{\"n\":" + std::to_string(i) + "}"));
    EXPECT_FALSE(ParseJson("{\"n\":").ok());
  }
  documents.erase(documents.begin(), documents.begin() + 50);
  EXPECT_EQ(reader_.Count(documents.front().get(), "n"), 50u);
  EXPECT_EQ(reader_.Count(documents.back().get(), "n"), 99u);
}

TEST_F(JsonValueTest, AnArenaGivesAlignedPiecesThatDoNotOverlap) {
  JsonArena arena(1);
  char* last = nullptr;
  for (size_t bytes : {1, 15, 16, 17, 5000, 1, 100000, 3}) {
    auto* piece = static_cast<char*>(arena.Allocate(bytes));
    ASSERT_NE(piece, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(piece) % alignof(std::max_align_t),
              0u);
    std::fill_n(piece, bytes, 'x');  // a sanitizer sees where it ends
    EXPECT_NE(piece, last);
    last = piece;
  }
  EXPECT_EQ(arena.Allocate(SIZE_MAX), nullptr);
}

TEST_F(JsonValueTest, RefusesDepthBeyondTheLimit) {
  EXPECT_FALSE(ParseJson(std::string(1000000, '[')).ok());
  EXPECT_FALSE(ParseJson(std::string(2000, '[') + std::string(2000, ']')).ok());
}

TEST_F(JsonValueTest, ReadsNotPastTheEnd) {
  const std::string text = "{\"a\":[1,\"x\\u00e4\",true],\"b\":{}}";
  for (size_t n = 0; n < text.size(); n++) {
    // A buffer of exactly n bytes, so that the sanitizer sees one too many.
    const std::vector<char> exact(text.begin(), text.begin() + n);
    EXPECT_FALSE(ParseJson(std::string_view(exact.data(), n)).ok()) << n;
  }
}

TEST_F(JsonValueTest, AbsentAndNullAreTheSame) {
  const cJSON* v = Parse(R"({"a":null})");
  for (const char* name : {"a", "b"}) {
    EXPECT_EQ(reader_.Object(v, name), nullptr);
    EXPECT_EQ(reader_.Array(v, name), nullptr);
    EXPECT_EQ(reader_.String(v, name, 9), "");
    EXPECT_FALSE(reader_.Bool(v, name).has_value());
    EXPECT_FALSE(reader_.Count(v, name).has_value());
    EXPECT_FALSE(reader_.Bool(reader_.Object(v, name), "x").has_value());
  }
  EXPECT_TRUE(reader_.ok());
}

TEST_F(JsonValueTest, NamesTheMemberOfTheWrongKind) {
  const cJSON* v = Parse(R"({"metadata":{"name":7}})");
  reader_.set_subject("a\nb");
  reader_.String(reader_.Object(v, "metadata"), "name", 9);
  EXPECT_TRUE(absl::IsInvalidArgument(reader_.status()));
  EXPECT_EQ(Message(), "Pod \"a\\nb\": member \"name\" must be a string");
}

TEST_F(JsonValueTest, RefusesEachWrongKind) {
  const cJSON* v = Parse(R"({"s":"x","n":1,"o":{},"a":[1],"t":true})");
  const auto fails = [](auto&& read) {
    JsonReader reader("x");
    read(&reader);
    return absl::IsInvalidArgument(reader.status());
  };
  EXPECT_TRUE(fails([v](JsonReader* r) { r->Object(v, "a"); }));
  EXPECT_TRUE(fails([v](JsonReader* r) { r->Array(v, "o"); }));
  EXPECT_TRUE(fails([v](JsonReader* r) { r->String(v, "n", 9); }));
  EXPECT_TRUE(fails([v](JsonReader* r) { r->Bool(v, "s"); }));
  EXPECT_TRUE(fails([v](JsonReader* r) { r->Count(v, "t"); }));
  EXPECT_TRUE(fails([v](JsonReader* r) { r->FirstString(v, "a", 9); }));
  EXPECT_TRUE(fails([v](JsonReader* r) { r->RequiredString(v, "q", 9); }));
  EXPECT_TRUE(fails([v](JsonReader* r) { r->RequiredCount(v, "q"); }));
  EXPECT_TRUE(fails([](JsonReader* r) { r->Root(nullptr); }));
}

TEST_F(JsonValueTest, CountsAreWholeAndExact) {
  for (const char* good : {"0", "12", "1e3", "9007199254740991"}) {
    JsonReader reader("x");
    const JsonDocument v =
        ParseJson("{\"n\":" + std::string(good) + "}").value();
    EXPECT_TRUE(reader.Count(v.get(), "n").has_value()) << good;
  }
  for (const char* bad : {"-1", "1.5", "9007199254740992", "1e300", "1e999",
                          "\"3\"", "99999999999999999999"}) {
    JsonReader reader("x");
    const JsonDocument v =
        ParseJson("{\"n\":" + std::string(bad) + "}").value();
    EXPECT_FALSE(reader.Count(v.get(), "n").has_value()) << bad;
    EXPECT_TRUE(absl::IsInvalidArgument(reader.status())) << bad;
  }
}

TEST_F(JsonValueTest, LongStringsAreMistakes) {
  const cJSON* v = Parse(R"({"s":"abcd"})");
  EXPECT_EQ(reader_.String(v, "s", 4), "abcd");
  reader_.String(v, "s", 3);
  EXPECT_THAT(Message(), HasSubstr("longer than 3 bytes"));
}

TEST_F(JsonValueTest, AMemberThatStandsTwiceIsAMistake) {
  const cJSON* v = Parse(R"({"n":1,"N":2,"m":null,"x":"n","m":3})");
  EXPECT_EQ(reader_.Count(v, "n"), 1u);
  EXPECT_TRUE(reader_.ok());
  EXPECT_EQ(reader_.Count(v, "m"), std::nullopt);
  EXPECT_THAT(Message(), HasSubstr("member \"m\" is a duplicate"));
}

TEST_F(JsonValueTest, MemberNamesAreCaseSensitive) {
  const cJSON* v = Parse(R"({"Name":"x"})");
  EXPECT_EQ(reader_.String(v, "name", 9), "");
}

TEST_F(JsonValueTest, VisitsAtMostTheAllowedElements) {
  const cJSON* v = Parse(R"({"a":[{},{},{}]})");
  int n = 0;
  const auto count = [&n](const cJSON*) { n++; };
  reader_.ForEachObject(reader_.Array(v, "a"), "a", 3, count);
  EXPECT_TRUE(reader_.ok());
  reader_.ForEachObject(reader_.Array(v, "a"), "a", 2, count);
  EXPECT_TRUE(absl::IsResourceExhausted(reader_.status()));
  EXPECT_EQ(n, 5);
}

TEST_F(JsonValueTest, ElementsMustBeObjects) {
  const cJSON* v = Parse(R"({"a":[{},null]})");
  reader_.ForEachObject(reader_.Array(v, "a"), "a", 9, [](const cJSON*) {});
  EXPECT_TRUE(absl::IsInvalidArgument(reader_.status()));
}

TEST_F(JsonValueTest, TheFirstMistakeSticks) {
  const cJSON* v = Parse(R"({"a":1,"b":2})");
  reader_.String(v, "a", 9);
  const std::string first = Message();
  reader_.String(v, "b", 9);
  EXPECT_EQ(Message(), first);
  EXPECT_FALSE(reader_.Count(v, "b").has_value());
}

}  // namespace
}  // namespace dynweight
