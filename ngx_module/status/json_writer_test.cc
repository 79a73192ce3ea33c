#include "ngx_module/status/json_writer.h"

#include <gtest/gtest.h>

#include <string>

#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

TEST(JsonWriter, CommasStandBetweenValues) {
  std::string out;
  JsonWriter json;
  json.set_out(&out);
  json.BeginObject();
  json.Number("a", 1);
  json.Key("b");
  json.BeginArray();
  json.BeginObject();
  json.EndObject();
  json.BeginObject();
  json.Flag("c", true);
  json.Null("d");
  json.EndObject();
  json.Number(2);
  json.EndArray();
  json.Key("e");
  json.BeginArray();
  json.EndArray();
  json.Raw("f", "");
  json.Share("g", 1, 2);
  json.Fixed("h", 1.5, 3);
  json.EndObject();
  EXPECT_EQ(out, R"({"a":1,"b":[{},{"c":true,"d":null},2],"e":[],"f":null,)"
                 R"("g":0.500000,"h":1.500})");
}

TEST(JsonWriter, GoesOnInAnotherPiece) {
  std::string first, second;
  JsonWriter json;
  json.set_out(&first);
  json.BeginArray();
  json.Number(1);
  json.set_out(&second);
  json.Number(2);
  json.EndArray();
  EXPECT_EQ(first + second, "[1,2]");
}

TEST(JsonWriter, AnyTextMayBeAKey) {
  std::string out;
  JsonWriter json;
  json.set_out(&out);
  json.BeginObject();
  json.TextKey("a\"<b>\n");
  json.Number(1);
  json.TextKey("c");
  json.Number(2);
  json.EndObject();
  EXPECT_EQ(out, "{\"a\\\"\\u003cb\\u003e\\n\":1,\"c\":2}");
  EXPECT_TRUE(ParseJson(out).ok());
}

TEST(JsonWriter, NumbersStayExact) {
  std::string out;
  JsonWriter json;
  json.set_out(&out);
  json.Number(UINT64_MAX);
  EXPECT_EQ(out, "9007199254740991");
}

}  // namespace
}  // namespace dynweight
