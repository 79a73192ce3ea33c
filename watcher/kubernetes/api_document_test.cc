// Tests of api_document.h.

#include "watcher/kubernetes/api_document.h"

#include <gtest/gtest.h>

#include <string>

namespace dynweight {
namespace {

using Kind = ApiRefusal::Kind;

TEST(ParseApiDocumentTest, BoundsTheNumberOfValues) {
  std::string text = "[1";
  for (int i = 0; i < 300000; ++i) text += ",1";
  text += "]";
  EXPECT_TRUE(absl::IsResourceExhausted(ParseApiDocument(text).status()));
}

TEST(ParseApiDocumentTest, BoundsTheDepth) {
  EXPECT_FALSE(ParseApiDocument(std::string(100000, '[')).ok());
}

TEST(ApiRefusalTest, KindIsByCode) {
  EXPECT_EQ(RefusalOfAnswer(410, -1, "").kind, Kind::kExpired);
  EXPECT_EQ(RefusalOfAnswer(429, -1, "").kind, Kind::kBusy);
  EXPECT_EQ(RefusalOfAnswer(504, -1, "").kind, Kind::kOther);
  EXPECT_EQ(RefusalOfAnswer(403, -1, "").kind, Kind::kOther);
}

TEST(ApiRefusalTest, KindIsByReason) {
  EXPECT_EQ(RefusalOfAnswer(400, -1, R"({"reason":"Expired"})").kind,
            Kind::kExpired);
  EXPECT_EQ(
      RefusalOfAnswer(504, -1, R"({"reason":"ResourceVersionTooLarge"})").kind,
      Kind::kTooLarge);
}

TEST(ApiRefusalTest, KindIsByCause) {
  const char kBody[] =
      R"({"reason":"Timeout","details":{"causes":[{"reason":"Other"},)"
      R"({"reason":"ResourceVersionTooLarge","message":"x"}]}})";
  EXPECT_EQ(RefusalOfAnswer(504, -1, kBody).kind, Kind::kTooLarge);
}

TEST(ApiRefusalTest, TheHeadersRetryAfterWins) {
  const char kBody[] = R"({"details":{"retryAfterSeconds":3}})";
  EXPECT_EQ(RefusalOfAnswer(429, 5000, kBody).retry_after_ms, 5000);
  EXPECT_EQ(RefusalOfAnswer(429, -1, kBody).retry_after_ms, 3000);
  EXPECT_EQ(RefusalOfAnswer(429, -1, "").retry_after_ms, -1);
}

TEST(ApiRefusalTest, MessagesArePrintableAndShort) {
  const std::string body =
      R"({"message":"a\n\u001b[31m)" + std::string(1000, 'x') + R"("})";
  const std::string message = RefusalOfAnswer(500, -1, body).message;
  EXPECT_EQ(message.size(), 200u);
  EXPECT_EQ(message.substr(0, 7), "a??[31m");
}

TEST(ApiRefusalTest, AnyBodyWillDo) {
  for (const char* body :
       {"", "{", "[]", "null", R"({"message":7,"details":[]})",
        R"({"details":{"causes":7,"retryAfterSeconds":-1}})",
        R"({"details":{"causes":[7]},"reason":{}})"}) {
    EXPECT_EQ(RefusalOfAnswer(500, -1, body).kind, Kind::kOther) << body;
  }
}

TEST(ApiRefusalTest, AnEventsCodeIsInTheObject) {
  const auto document = ParseApiDocument(R"({"code":410,"message":"old"})");
  const ApiRefusal refusal = RefusalOfEvent(document->get());
  EXPECT_EQ(refusal.kind, Kind::kExpired);
  EXPECT_EQ(refusal.code, 410);
  EXPECT_EQ(refusal.message, "old");
}

TEST(WatchEventTest, HasTypeObjectAndVersion) {
  const auto document = ParseApiDocument(
      R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}})");
  const auto event = ReadWatchEvent(document->get());
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->type, WatchEvent::Type::kBookmark);
  EXPECT_EQ(event->resource_version, "9");
}

TEST(WatchEventTest, AnErrorNeedsNoVersion) {
  const auto document = ParseApiDocument(R"({"type":"ERROR","object":{}})");
  EXPECT_TRUE(ReadWatchEvent(document->get()).ok());
}

TEST(WatchEventTest, AnythingElseIsAnError) {
  for (const char* text :
       {"[]", "{}", R"({"type":"ADDED"})", R"({"type":"ADDED","object":[]})",
        R"({"type":"ADDED","object":{}})", R"({"type":"ERROR","object":"x"})",
        R"({"type":"added","object":{"metadata":{"resourceVersion":"9"}}})",
        R"({"type":"ADDED","object":{"metadata":{"resourceVersion":9}}})"}) {
    const auto document = ParseApiDocument(text);
    EXPECT_FALSE(ReadWatchEvent(document->get()).ok()) << text;
  }
}

}  // namespace
}  // namespace dynweight
