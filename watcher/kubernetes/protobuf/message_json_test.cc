// Tests of message_json.h and of the tables.

#include "watcher/kubernetes/protobuf/message_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <protozero/pbf_writer.hpp>
#include <set>
#include <string>

namespace dynweight {
namespace {

using protozero::pbf_writer;
using testing::HasSubstr;
using Type = MessageField::Type;

constexpr MessageField kInner[] = {{1, "text", Type::kText}};
constexpr MessageFields kInnerFields = {kInner};
constexpr MessageField kOuter[] = {
    {1, "text", Type::kText},
    {2, "flag", Type::kBool},
    {3, "count", Type::kInteger},
    {4, "time", Type::kTime},
    {5, "map", Type::kMap},
    {6, "texts", Type::kTexts},
    {7, "inner", Type::kMessage, &kInnerFields},
    {8, "inners", Type::kMessages, &kInnerFields},
};
constexpr MessageFields kOuterFields = {kOuter};

class MessageJsonTest : public testing::Test {
 protected:
  // The JSON, or the error's words.
  std::string Json(size_t max_bytes = 10000) {
    std::string json;
    const absl::Status status =
        AppendMessageJson(bytes_, kOuterFields, max_bytes, &json);
    return status.ok() ? json : std::string(status.message());
  }

  static std::string Inner(const std::string& text) {
    std::string bytes;
    pbf_writer(bytes).add_string(1, text);
    return bytes;
  }
  static std::string Entry(const std::string& key, const std::string& value) {
    std::string bytes;
    pbf_writer writer(bytes);
    writer.add_string(1, key);
    writer.add_string(2, value);
    return bytes;
  }

  std::string bytes_;
  pbf_writer writer_{bytes_};
};

TEST_F(MessageJsonTest, NothingIsAnEmptyObject) { EXPECT_EQ(Json(), "{}"); }

TEST_F(MessageJsonTest, WritesEachType) {
  writer_.add_string(1, "a\"b\n\xC3\xA4");
  writer_.add_bool(2, true);
  writer_.add_int32(3, -7);
  std::string time;
  pbf_writer(time).add_int64(1, 1700000000);
  writer_.add_message(4, time);
  writer_.add_message(5, Entry("k", "v"));
  writer_.add_message(5, Entry("", ""));
  writer_.add_string(6, "x");
  writer_.add_string(6, "y");
  writer_.add_message(7, Inner("in"));
  writer_.add_message(8, Inner("1"));
  writer_.add_string(8, "");
  EXPECT_EQ(Json(),
            "{\"text\":\"a\\\"b\\n\xC3\xA4\",\"flag\":true,\"count\":-7,"
            "\"time\":\"2023-11-14T22:13:20Z\",\"map\":{\"k\":\"v\",\"\":\"\"},"
            "\"texts\":[\"x\",\"y\"],\"inner\":{\"text\":\"in\"},"
            "\"inners\":[{\"text\":\"1\"},{}]}");
}

TEST_F(MessageJsonTest, PassesOverFieldsThatItDoesNotKnow) {
  writer_.add_int64(20, 1);
  writer_.add_fixed32(21, 1);
  writer_.add_message(8, Inner("1"));
  writer_.add_fixed64(22, 1);
  writer_.add_string(1000, "long");
  writer_.add_message(8, Inner("2"));
  EXPECT_EQ(Json(), R"({"inners":[{"text":"1"},{"text":"2"}]})");
}

// As metav1.Time of Go: the zero time is an empty message, null in JSON.
TEST_F(MessageJsonTest, AnEmptyTimeIsNull) {
  writer_.add_string(4, "");
  EXPECT_EQ(Json(), R"({"time":null})");
}

TEST_F(MessageJsonTest, ATimeOfAnyNumberIsText) {
  std::string time;
  pbf_writer(time).add_int64(1, INT64_MAX);
  writer_.add_message(4, time);
  EXPECT_THAT(Json(), HasSubstr(R"({"time":")"));
}

TEST_F(MessageJsonTest, RefusesAFieldThatStandsTwice) {
  writer_.add_string(1, "a");
  writer_.add_bool(2, false);
  writer_.add_string(1, "b");
  EXPECT_EQ(Json(), "protobuf: field \"text\" is a duplicate");
}

TEST_F(MessageJsonTest, RefusesElementsThatStandApart) {
  writer_.add_string(6, "x");
  writer_.add_bool(2, false);
  writer_.add_string(6, "y");
  EXPECT_EQ(Json(), "protobuf: field \"texts\" is a duplicate");
}

TEST_F(MessageJsonTest, RefusesTheWrongType) {
  for (const MessageField& field : kOuter) {
    bytes_.clear();
    writer_.add_fixed64(field.number, 7);
    EXPECT_THAT(Json(), HasSubstr("has the wrong type")) << field.name;
    bytes_.clear();
    if (field.type == Type::kBool || field.type == Type::kInteger) {
      writer_.add_string(field.number, "");
    } else {
      writer_.add_int32(field.number, 7);
    }
    EXPECT_THAT(Json(), HasSubstr("has the wrong type")) << field.name;
  }
}

TEST_F(MessageJsonTest, RefusesWrongTypesWithinTimesAndMaps) {
  std::string bytes;
  pbf_writer(bytes).add_string(1, "x");
  writer_.add_message(4, bytes);
  EXPECT_THAT(Json(), HasSubstr("\"time\" has the wrong type"));
  bytes.clear();
  bytes_.clear();
  pbf_writer(bytes).add_int32(2, 1);
  writer_.add_message(5, bytes);
  EXPECT_THAT(Json(), HasSubstr("\"map\" has an entry of the wrong type"));
}

TEST_F(MessageJsonTest, RefusesWhatIsNoText) {
  using namespace std::string_literals;
  for (const std::string& text :
       {"\xFF"s, "a\xC3"s, "a\0b"s, "\xED\xA0\x80"s, "\xF4\x90\x80\x80"s}) {
    bytes_.clear();
    writer_.add_string(1, text);
    EXPECT_EQ(Json(), "protobuf: field \"text\" must be UTF-8");
    bytes_.clear();
    writer_.add_message(5, Entry("k", text));
    EXPECT_EQ(Json(), "protobuf: field \"map\" must be UTF-8");
  }
}

TEST_F(MessageJsonTest, RefusesWhatIsCutOff) {
  writer_.add_string(1, "abc");
  writer_.add_message(7, Inner("in"));
  writer_.add_int64(3, 300);
  const std::string whole = bytes_;
  int refused = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    bytes_ = whole.substr(0, size);
    refused += Json() == "protobuf: a message is cut off";
  }
  // All but the ends of the fields before.
  EXPECT_EQ(refused, static_cast<int>(whole.size()) - 3);
}

TEST_F(MessageJsonTest, RefusesWhatIsNoProtobuf) {
  for (const std::string& bytes :
       {std::string("\x0B"),         // a group
        std::string("\x00\x01", 2),  // number 0
        std::string("\x18") + std::string(10, '\xFF') + "\x01"}) {
    bytes_ = bytes;
    EXPECT_EQ(Json(), "is no protobuf");
  }
}

TEST_F(MessageJsonTest, BoundsWhatItWrites) {
  writer_.add_string(1, std::string(50, '\x01'));  // six characters each
  EXPECT_EQ(Json(200), "an object is longer than 200 bytes");
  EXPECT_THAT(Json(400), HasSubstr("\\u0001"));
  bytes_.clear();
  for (int i = 0; i < 100; ++i) writer_.add_string(8, "");
  EXPECT_EQ(Json(200), "an object is longer than 200 bytes");
}

// ---- The tables.

void CheckFields(const MessageFields& fields, int depth) {
  ASSERT_LT(depth, 8) << "messages within messages have an end";
  std::set<uint32_t> numbers;
  std::set<std::string> names;
  for (const MessageField& field : fields.fields) {
    EXPECT_GE(field.number, 1U);
    EXPECT_LE(field.number, kMaxFieldNumber);
    EXPECT_TRUE(numbers.insert(field.number).second) << field.name;
    EXPECT_TRUE(names.insert(field.name).second) << field.name;
    const bool message =
        field.type == Type::kMessage || field.type == Type::kMessages;
    ASSERT_EQ(field.nested != nullptr, message) << field.name;
    if (message) CheckFields(*field.nested, depth + 1);
  }
}

TEST(MessageFieldsTest, TablesAreSound) {
  for (const ProtobufKind& kind : ProtobufKinds()) CheckFields(*kind.fields, 0);
  CheckFields(*kStatusKind.fields, 0);
  CheckFields(kListMetaFields, 0);
}

TEST(MessageFieldsTest, FindsAKindByItsPath) {
  const auto name = [](std::string_view path) {
    const ProtobufKind* kind = FindProtobufKind(path);
    return kind == nullptr ? "" : kind->name;
  };
  EXPECT_STREQ(name("/api/v1/pods"), "Pod");
  EXPECT_STREQ(name("/api/v1/namespaces/prod/pods"), "Pod");
  EXPECT_STREQ(name("/api/v1/nodes"), "Node");
  EXPECT_STREQ(name("/api/v1/namespaces/prod/endpoints"), "Endpoints");
  EXPECT_STREQ(name("/apis/discovery.k8s.io/v1/endpointslices"),
               "EndpointSlice");
  EXPECT_STREQ(name("/apis/apps/v1/namespaces/a/deployments"), "Deployment");
  EXPECT_STREQ(name("/apis/apps/v1/namespaces/a/statefulsets"), "StatefulSet");
  EXPECT_STREQ(name("/apis/networking.k8s.io/v1/ingresses"), "Ingress");
  // Custom resources, and versions with other fields.
  EXPECT_STREQ(name("/apis/argoproj.io/v1alpha1/namespaces/a/rollouts"), "");
  EXPECT_STREQ(name("/apis/discovery.k8s.io/v1beta1/endpointslices"), "");
  EXPECT_STREQ(name("/api/v1"), "");
  EXPECT_STREQ(name("/api/v1pods"), "");
  EXPECT_STREQ(name("/api/v1/custompods"), "");
  EXPECT_STREQ(name(""), "");
}

}  // namespace
}  // namespace dynweight
