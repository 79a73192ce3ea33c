// Tests of list_scanner.h.

#include "watcher/kubernetes/list_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kHead[] =
    R"({"kind":"PodList","metadata":{"resourceVersion":"7"},)";

class ListScannerTest : public testing::Test {
 protected:
  absl::Status Append(std::string_view data) {
    return scanner_.Append(data, [this](std::string_view object) {
      objects_.emplace_back(object);
      return object == R"({"stop":1})" ? absl::AbortedError("stop")
                                       : absl::OkStatus();
    });
  }
  // The whole body, also byte by byte: both must come to the same.
  absl::StatusOr<ListEnvelope> Scan(const std::string& body,
                                    std::string_view resource = "pods") {
    scanner_.Reset();
    objects_.clear();
    const absl::Status whole = Append(body);
    const std::vector<std::string> of_whole = objects_;
    const auto result = whole.ok() ? scanner_.Finish(resource)
                                   : absl::StatusOr<ListEnvelope>(whole);
    scanner_.Reset();
    objects_.clear();
    absl::Status bytes;
    for (size_t i = 0; i < body.size() && bytes.ok(); ++i) {
      bytes = Append(body.substr(i, 1));
    }
    EXPECT_EQ(bytes.code(), whole.code());
    EXPECT_EQ(objects_, of_whole);
    if (bytes.ok()) {
      EXPECT_EQ(scanner_.Finish(resource).ok(), result.ok());
    }
    return result;
  }

  ListScanner scanner_{200};
  std::vector<std::string> objects_;
};

TEST_F(ListScannerTest, GivesEachObjectByItself) {
  const auto page =
      Scan(std::string(kHead) + R"("items": [ {"a":[1,{"b":2}]} , {} ] })"
                                "\n");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->resource_version, "7");
  EXPECT_EQ(page->next, "");
  EXPECT_THAT(objects_, ElementsAre(R"({"a":[1,{"b":2}]})", "{}"));
}

TEST_F(ListScannerTest, BracketsAndQuotesWithinStringsAreText) {
  const auto page = Scan(std::string(kHead) +
                         R"("x":"\"items\":[{","items":[{"a":"}]\"\\"}]})");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(objects_, ElementsAre(R"({"a":"}]\"\\"})"));
}

TEST_F(ListScannerTest, MetadataMayFollowTheItems) {
  const auto page =
      Scan(R"({"items":[{}],"metadata":{"continue":"t","resourceVersion":"7"},)"
           R"("kind":"PodList"})");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->next, "t");
}

TEST_F(ListScannerTest, ItemsElsewhereAreNotTheLists) {
  const auto page =
      Scan(std::string(kHead) + R"("x":{"items":[{"a":1}]},"y":["items",[1]],)"
                                R"("items":[]})");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(objects_, IsEmpty());
}

TEST_F(ListScannerTest, NullItemsAreNone) {
  EXPECT_TRUE(Scan(std::string(kHead) + R"("items":null})").ok());
}

TEST_F(ListScannerTest, TheKindMustBeThatOfTheCollection) {
  EXPECT_FALSE(Scan(std::string(kHead) + R"("items":[]})", "nodes").ok());
  EXPECT_FALSE(Scan(std::string(kHead) + R"("items":[]})", "pod").ok());
}

TEST_F(ListScannerTest, ALongestObjectPassesALongerOneDoesNot) {
  const std::string fits = R"({"a":")" + std::string(192, 'x') + R"("})";
  ASSERT_EQ(fits.size(), 200u);
  EXPECT_TRUE(Scan(std::string(kHead) + R"("items":[)" + fits + "]}").ok());
  const auto page =
      Scan(std::string(kHead) + R"("items":[ )" + "{ " + fits.substr(1) + "]}");
  EXPECT_TRUE(absl::IsResourceExhausted(page.status()));
}

TEST_F(ListScannerTest, TheEnvelopeIsBoundedToo) {
  EXPECT_TRUE(absl::IsResourceExhausted(
      Scan(std::string(kHead) + std::string(200, ' ')).status()));
}

TEST_F(ListScannerTest, TheFirstErrorOfAnObjectEndsIt) {
  EXPECT_TRUE(absl::IsAborted(
      Scan(std::string(kHead) + R"("items":[{"stop":1},{}]})").status()));
  EXPECT_THAT(objects_, ElementsAre(R"({"stop":1})"));
}

TEST_F(ListScannerTest, AnythingButAListIsAnError) {
  const std::string head = kHead;
  const std::string bodies[] = {
      head + R"("items":[{},]})",
      head + R"("items":[,{}]})",
      head + R"("items":[{} {}]})",
      head + R"("items":[{}}]})",
      head + R"("items":[1]})",
      head + R"("items":["a"]})",
      head + R"("items":[[]]})",
      head + R"("items":[null]})",
      head + R"("items":[{}]}x)",
      head + R"("items":[{}]} {})",
      head + R"("items":[{}])",
      head + R"("items":[{})",
      head + R"("items":[],"items":[{}]})",
      head + R"("items":null,"items":[{}]})",
      head + R"("\u0069tems":[{}]})",
      head + R"("\u0069tems":[],"items":[{}]})",
      head + R"("items":"none"})",
      head + R"("items":false})",
      head + R"("Items":[]})",
      head + R"(items:[]})",
      R"(["items":[{}]])",
      R"({"kind":"List","metadata":{"resourceVersion":"7"},"items":[]})",
      R"({"kind":"PodList","metadata":{"resourceVersion":7},"items":[]})",
      R"({"kind":"PodList","metadata":[],"items":[]})",
      "}",
      "]]",
      "\"",
  };
  for (const std::string& body : bodies) {
    EXPECT_FALSE(Scan(body).ok()) << body;
  }
}

TEST_F(ListScannerTest, KnowsKindsByTheirPlurals) {
  const auto finishes = [](const std::string& kind, const char* resource) {
    ListScanner scanner(1000);
    scanner.Reset();
    const std::string body =
        R"({"kind":")" + kind +
        R"(","metadata":{"resourceVersion":"7"},"items":[]})";
    return scanner
               .Append(body, [](std::string_view) { return absl::OkStatus(); })
               .ok() &&
           scanner.Finish(resource).ok();
  };
  EXPECT_TRUE(finishes("PodList", "pods"));
  EXPECT_TRUE(finishes("EndpointsList", "endpoints"));
  EXPECT_TRUE(finishes("IngressList", "ingresses"));
  EXPECT_FALSE(finishes("PodList", "ingresses"));
}

TEST_F(ListScannerTest, ErrorsSayWhatWasExpected) {
  EXPECT_THAT(std::string(Scan("<html>").status().message()),
              HasSubstr("no list of pods"));
}

}  // namespace
}  // namespace dynweight
