// Tests of object_json.h and watch_frames.h.

#include "watcher/kubernetes/protobuf/object_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <protozero/pbf_writer.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/protobuf/watch_frames.h"
#include "watcher/testing/protobuf_text.h"

namespace dynweight {
namespace {

using protozero::pbf_writer;
using testing::ElementsAre;
using testing::HasSubstr;

std::string Object(const std::string& version, const std::string& kind,
                   const std::string& object) {
  return std::string(kProtobufMagic) +
         Text(1, Text(1, version) + Text(2, kind)) + Text(2, object) +
         Text(3, "") + Text(4, "");
}

std::string Event(const std::string& type, const std::string& object) {
  return Text(1, type) + Text(2, Text(1, object));
}

std::string Json(const std::string& event, size_t max_bytes = 1000) {
  const auto json =
      WatchEventJson(event, *FindProtobufKind("/api/v1/pods"), max_bytes);
  return json.ok() ? *json : std::string(json.status().message());
}

TEST(IsProtobufTest, TellsByTheMediaType) {
  EXPECT_TRUE(IsProtobuf("application/vnd.kubernetes.protobuf"));
  EXPECT_TRUE(IsProtobuf("application/vnd.kubernetes.protobuf;stream=watch"));
  EXPECT_TRUE(IsProtobuf("Application/Vnd.Kubernetes.Protobuf ; charset=x"));
  EXPECT_FALSE(IsProtobuf("application/json"));
  EXPECT_FALSE(IsProtobuf("application/vnd.kubernetes.protobuf2"));
  EXPECT_FALSE(IsProtobuf(""));
}

TEST(WatchEventJsonTest, GivesTheLineOfJson) {
  EXPECT_EQ(Json(Event("ADDED", Object("v1", "Pod", Text(1, Text(1, "a"))))),
            R"({"type":"ADDED","object":{"metadata":{"name":"a"}}})");
}

TEST(WatchEventJsonTest, GivesStatus) {
  EXPECT_EQ(Json(Event("ERROR", Object("v1", "Status", Text(4, "Expired")))),
            R"({"type":"ERROR","object":{"reason":"Expired"}})");
}

TEST(WatchEventJsonTest, RefusesOtherObjects) {
  constexpr char kOther[] = "protobuf: the object of an event is no Pod";
  EXPECT_EQ(Json(Event("ADDED", Object("v1", "Node", ""))), kOther);
  EXPECT_EQ(Json(Event("ADDED", Object("v2", "Pod", ""))), kOther);
}

TEST(WatchEventJsonTest, RefusesWhatIsNoEvent) {
  constexpr char kNone[] = "is no protobuf of Kubernetes";
  EXPECT_EQ(Json(""), kNone);
  EXPECT_EQ(Json("{}"), kNone);
  EXPECT_EQ(Json(Text(1, "ADDED")), kNone);
  EXPECT_EQ(Json(Event("ADDED", "{}")), kNone);
  EXPECT_EQ(Json(Event("ADDED", std::string(kProtobufMagic) + "\x0B")), kNone);
  const std::string event = Event("ADDED", Object("v1", "Pod", "\x0A\x09"));
  EXPECT_EQ(Json(event), "protobuf: a message is cut off");
  for (size_t size = 0; size < event.size(); ++size) {
    EXPECT_EQ(Json(event.substr(0, size)), kNone);
  }
}

TEST(WatchEventJsonTest, RefusesObjectsThatAreCompressed) {
  EXPECT_EQ(Json(Event("ADDED", std::string(kProtobufMagic) +
                                    Text(1, Text(1, "v1") + Text(2, "Pod")) +
                                    Text(2, "") + Text(3, "gzip"))),
            "protobuf: an object is compressed");
}

TEST(WatchEventJsonTest, BoundsTheLine) {
  const std::string name(100, 'x');
  const std::string event =
      Event("ADDED", Object("v1", "Pod", Text(1, Text(1, name))));
  EXPECT_EQ(Json(event, 100), "an object is longer than 100 bytes");
  EXPECT_THAT(Json(event), HasSubstr(name));
}

TEST(StatusJsonTest, SaysWhichObjectIsMissing) {
  const std::string details = absl::StrCat(
      Text(1, "bj"), Text(2, "cluster.karmada.io"), Text(3, "clusters"));
  EXPECT_EQ(StatusJson(Object("v1", "Status", Text(5, details))),
            R"({"details":{"name":"bj","group":"cluster.karmada.io",)"
            R"("kind":"clusters"}})");
}

TEST(StatusJsonTest, GivesAStatusAndNothingElse) {
  const std::string status = Object("v1", "Status", Text(3, "no"));
  EXPECT_EQ(StatusJson(status), R"({"message":"no"})");
  EXPECT_EQ(StatusJson(status.substr(0, status.size() - 6)), "");
  EXPECT_EQ(StatusJson(Object("v1", "Pod", Text(3, "no"))), "");
  EXPECT_EQ(StatusJson(R"({"message":"no"})"), "");
  EXPECT_EQ(StatusJson(""), "");
}

// ---- Frames.

class WatchFramesTest : public testing::Test {
 protected:
  absl::Status Append(std::string_view data) {
    return frames_.Append(data, [this](std::string_view bytes) {
      seen_.emplace_back(bytes);
      return bytes == "stop" ? absl::AbortedError("stop") : absl::OkStatus();
    });
  }
  static std::string Frame(const std::string& bytes) {
    const size_t size = bytes.size();
    return {static_cast<char>(size >> 24), static_cast<char>(size >> 16),
            static_cast<char>(size >> 8), static_cast<char>(size)};
  }
  static std::string Framed(const std::string& bytes) {
    return Frame(bytes) + bytes;
  }

  WatchFrames frames_{300};
  std::vector<std::string> seen_;
};

TEST_F(WatchFramesTest, CutsWhereverTheBodyIsCut) {
  const std::string longest(300, 'x');
  const std::string body =
      Framed("one") + Framed("") + Framed(longest) + Framed("two");
  for (size_t piece = 1; piece <= body.size(); ++piece) {
    seen_.clear();
    for (size_t at = 0; at < body.size(); at += piece) {
      ASSERT_TRUE(Append(std::string_view(body).substr(at, piece)).ok());
    }
    EXPECT_THAT(seen_, ElementsAre("one", "", longest, "two")) << piece;
    EXPECT_FALSE(frames_.partial());
  }
}

TEST_F(WatchFramesTest, KnowsThatAFrameIsCutOff) {
  const std::string body = Framed("one");
  for (size_t size = 1; size < body.size(); ++size) {
    ASSERT_TRUE(Append(body.substr(0, size)).ok());
    EXPECT_TRUE(frames_.partial());
    frames_.Reset();
    EXPECT_FALSE(frames_.partial());
  }
  EXPECT_TRUE(seen_.empty());
}

TEST_F(WatchFramesTest, RefusesAFrameThatIsTooLong) {
  const absl::Status status = Append(Frame(std::string(301, 'x')));
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(status.message(), "an event is longer than 300 bytes");
}

TEST_F(WatchFramesTest, StopsWhereTheReaderDoes) {
  EXPECT_TRUE(absl::IsAborted(Append(Framed("stop") + Framed("more"))));
  EXPECT_THAT(seen_, ElementsAre("stop"));
}

}  // namespace
}  // namespace dynweight
