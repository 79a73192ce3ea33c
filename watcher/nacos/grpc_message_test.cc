// Tests of grpc_message.h.

#include "watcher/nacos/grpc_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dynweight {
namespace {

using testing::ElementsAre;

std::vector<std::string> Types(const std::string& stream, size_t piece) {
  GrpcFraming framing;
  std::vector<std::string> types;
  for (size_t at = 0; at < stream.size(); at += piece) {
    const absl::Status status =
        framing.Append(std::string_view(stream).substr(at, piece),
                       [&types](std::string_view payload) {
                         types.push_back(ReadGrpcPayload(payload)->type);
                         return absl::OkStatus();
                       });
    EXPECT_TRUE(status.ok()) << status;
  }
  return types;
}

TEST(GrpcMessageTest, IsReadAsItIsWritten) {
  const std::string json = "{\"a\":\"" + std::string(1000, 'x') + "\"}";
  const auto read = ReadGrpcAnswer(WriteGrpcMessage(
      {"HealthCheckRequest", json, {{"accessToken", "t0ken"}}}));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->type, "HealthCheckRequest");
  EXPECT_EQ(read->json, json);
}

// What protoc makes of metadata { type: "T" } body { value: "{}" }.
TEST(GrpcMessageTest, IsAsProtobufHasIt) {
  EXPECT_EQ(WriteGrpcMessage({"T", "{}", {}}),
            std::string("\0\0\0\0\x0b\x12\x03\x1a\x01T\x1a\x04\x12\x02{}", 16));
}

// The same with headers { key: "ak" value: "k" }.
TEST(GrpcMessageTest, HeadersAreEntriesOfAMap) {
  EXPECT_EQ(WriteGrpcMessage({"T", "{}", {{"ak", "k"}}}),
            std::string("\0\0\0\0\x14\x12\x0c\x1a\x01T\x3a\x07\x0a\x02"
                        "ak\x12\x01k\x1a\x04\x12\x02{}",
                        25));
}

TEST(GrpcMessageTest, AStreamMayBeCutAnywhere) {
  const std::string stream = WriteGrpcMessage({"A", "{}", {}}) +
                             WriteGrpcMessage({"B", "", {}}) +
                             WriteGrpcMessage({"C", "[1]", {}});
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{17}, stream.size()}) {
    EXPECT_THAT(Types(stream, piece), ElementsAre("A", "B", "C")) << piece;
  }
}

TEST(GrpcMessageTest, WhatIsNoMessageIsRefused) {
  EXPECT_FALSE(ReadGrpcAnswer("").ok());
  EXPECT_FALSE(ReadGrpcAnswer(std::string("\0\0\0\0\x09", 5)).ok());
  EXPECT_FALSE(ReadGrpcAnswer(std::string("\0\0\0\0\x02\xff\xff", 7)).ok());
  EXPECT_FALSE(ReadGrpcAnswer(std::string("\0\0\0\0\0", 5)).ok());
  EXPECT_FALSE(ReadGrpcAnswer(std::string("\1\0\0\0\0", 5)).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(
      ReadGrpcAnswer(std::string("\0\xff\xff\xff\xff", 5)).status()));
}

}  // namespace
}  // namespace dynweight
