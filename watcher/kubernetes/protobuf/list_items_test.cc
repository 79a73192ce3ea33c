// Tests of list_items.h.

#include "watcher/kubernetes/protobuf/list_items.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <protozero/pbf_writer.hpp>
#include <string>

#include "watcher/kubernetes/protobuf/object_json.h"
#include "watcher/testing/protobuf_text.h"

namespace dynweight {
namespace {

using protozero::pbf_writer;
using testing::HasSubstr;

// An EndpointSlice of that name.
std::string Item(const std::string& name) {
  return Text(2, Text(1, Text(1, name)));
}

std::string TypeMeta(const std::string& version, const std::string& kind) {
  return Text(1, Text(1, version) + Text(2, kind));
}

std::string OrdersType() {
  return TypeMeta("discovery.k8s.io/v1", "EndpointSliceList");
}

std::string Meta(const std::string& version) {
  return Text(1, Text(2, version));
}

std::string Body(const std::string& envelope) {
  return std::string(kProtobufMagic) + envelope;
}

std::string List(const std::string& list) {
  return Body(OrdersType() + Text(2, list) + Text(3, "") + Text(4, ""));
}

class ListItemsTest : public testing::Test {
 protected:
  // The JSON, or the error's words.
  std::string Read(const std::string& body, size_t piece) {
    std::string json;
    const auto take = [&json](std::string_view text) {
      json += text;
      return text.find("stop") == std::string_view::npos
                 ? absl::OkStatus()
                 : absl::AbortedError("stop");
    };
    items_.Reset(FindProtobufKind("/apis/discovery.k8s.io/v1/endpointslices"));
    absl::Status status;
    for (size_t at = 0; at < body.size() && status.ok(); at += piece) {
      status = items_.Append(std::string_view(body).substr(at, piece), take);
    }
    if (status.ok()) status = items_.Finish(take);
    return status.ok() ? json : std::string(status.message());
  }
  // However it is cut.
  std::string Read(const std::string& body) {
    std::string result = Read(body, body.size() + 1);
    for (size_t piece = 1; piece < body.size(); ++piece) {
      EXPECT_EQ(Read(body, piece), result) << piece;
    }
    return result;
  }

  ListItems items_{200};
};

TEST_F(ListItemsTest, GivesTheJsonOfAList) {
  EXPECT_EQ(
      Read(List(Meta("7") + Item("a") + Item("b"))),
      R"({"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}],)"
      R"("metadata":{"resourceVersion":"7"},"kind":"EndpointSliceList"})");
}

TEST_F(ListItemsTest, AnEmptyListHasNoItems) {
  EXPECT_EQ(Read(List(Meta("7"))),
            R"({"items":[],"metadata":{"resourceVersion":"7"},)"
            R"("kind":"EndpointSliceList"})");
  EXPECT_EQ(Read(List("")),
            R"({"items":[],"metadata":{},"kind":"EndpointSliceList"})");
}

TEST_F(ListItemsTest, OrderDoesNotMatter) {
  EXPECT_EQ(
      Read(Body(Text(4, "x") + Text(2, Item("a") + Meta("7")) + OrdersType())),
      R"({"items":[{"metadata":{"name":"a"}}],)"
      R"("metadata":{"resourceVersion":"7"},"kind":"EndpointSliceList"})");
}

TEST_F(ListItemsTest, PassesOverFieldsThatItDoesNotKnow) {
  std::string odd;
  pbf_writer writer(odd);
  writer.add_int64(5, INT64_MAX);
  writer.add_fixed32(6, 1);
  writer.add_fixed64(7, 1);
  writer.add_string(8, std::string(1000, 'x'));
  EXPECT_EQ(Read(Body(odd + OrdersType() + odd +
                      Text(2, odd + Meta("7") + odd) + odd)),
            R"({"items":[],"metadata":{"resourceVersion":"7"},)"
            R"("kind":"EndpointSliceList"})");
}

TEST_F(ListItemsTest, ReadsTheContinueToken) {
  EXPECT_THAT(Read(List(Text(1, Text(2, "7") + Text(3, "more")))),
              HasSubstr(R"("continue":"more")"));
}

TEST_F(ListItemsTest, RefusesOtherThings) {
  constexpr char kNone[] = "no list: is no protobuf of Kubernetes";
  EXPECT_EQ(Read(R"({"kind":"EndpointSliceList"})"), kNone);
  EXPECT_EQ(Read("k8s\1"), kNone);
  EXPECT_EQ(Read(Body("\x0B")), kNone);                   // a group
  EXPECT_EQ(Read(Body(std::string(1, '\0'))), kNone);     // number 0
  EXPECT_EQ(Read(Body(std::string(10, '\x80'))), kNone);  // no end
  std::string number;
  pbf_writer(number).add_int32(2, 1);
  EXPECT_EQ(Read(Body(number)), kNone);
  EXPECT_EQ(Read(List(number)), kNone);
}

TEST_F(ListItemsTest, RefusesOtherKinds) {
  constexpr char kOther[] = "no list: it is of something else";
  for (const std::string& type :
       {TypeMeta("discovery.k8s.io/v1", "EndpointSlice"),
        TypeMeta("discovery.k8s.io/v2", "EndpointSliceList"),
        TypeMeta("v1", "PodList"), std::string()}) {
    EXPECT_EQ(Read(Body(type + Text(2, Meta("7")))), kOther);
  }
}

TEST_F(ListItemsTest, RefusesAListThatIsCompressed) {
  EXPECT_EQ(Read(Body(OrdersType() + Text(2, Meta("7")) + Text(3, "gzip"))),
            "no list: it is compressed within");
}

TEST_F(ListItemsTest, RefusesWhatStandsTwice) {
  constexpr char kTwice[] = "no list: a field is a duplicate";
  EXPECT_EQ(Read(Body(OrdersType() + OrdersType())), kTwice);
  EXPECT_EQ(Read(List(Meta("7") + Meta("8"))), kTwice);
  EXPECT_EQ(Read(List(Meta("7")) + Text(2, Meta("8"))), kTwice);
}

TEST_F(ListItemsTest, RefusesAListThatIsCutOff) {
  const std::string list = Body(OrdersType() + Text(2, Meta("7") + Item("a")));
  const size_t type_end = Body(OrdersType()).size();
  for (size_t size = 0; size < list.size(); ++size) {
    const std::string text = Read(list.substr(0, size), 1000);
    if (size == type_end) {
      // Nothing of this says that there is more; the scanner misses the
      // version.
      EXPECT_THAT(text, HasSubstr(R"("metadata":{})"));
    } else {
      EXPECT_THAT(text,
                  HasSubstr(size == kProtobufMagic.size() ? "something else"
                                                          : "cut off"))
          << size;
    }
  }
}

// Lengths that point past what they stand in.
TEST_F(ListItemsTest, RefusesLengthsThatDoNotFit) {
  std::string item = Item("abc");
  item[1] = 50;
  EXPECT_EQ(Read(List(Meta("7") + item)), "no list: it is cut off");
  EXPECT_EQ(Read(List(Meta("7") + "\x12")), "no list: it is cut off");
  const std::string huge = "\x2A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01";
  EXPECT_EQ(Read(List(huge)), "no list: it is cut off");
  EXPECT_EQ(Read(Body(huge)), "no list: it is cut off");
}

TEST_F(ListItemsTest, BoundsWhatItKeeps) {
  EXPECT_EQ(Read(List(Item(std::string(300, 'x')))),
            "an object of the list is longer than 200 bytes");
  EXPECT_EQ(Read(List(Item(std::string(100, '\x01')))),
            "an object is longer than 200 bytes");
  EXPECT_EQ(Read(List(Text(1, std::string(300, 'x')))),
            "an object of the list is longer than 200 bytes");
  EXPECT_EQ(Read(Body("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")),
            "an object of the list is longer than 200 bytes");
}

TEST_F(ListItemsTest, StopsWhereTheReaderDoes) {
  EXPECT_EQ(Read(List(Item("stop") + Item("b"))), "stop");
}

}  // namespace
}  // namespace dynweight
