// Tests of request_signature.h. Signatures are what Python's hmac makes.

#include "watcher/nacos/request_signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr int64_t kNow = 1700000001000;

TEST(RequestSignatureTest, TimeAndServiceAreSigned) {
  EXPECT_THAT(SignRequest("LTAI", "s3cret", "DEFAULT_GROUP@@orders", kNow),
              ElementsAre(Pair("ak", "LTAI"),
                          Pair("data", "1700000001000@@DEFAULT_GROUP@@orders"),
                          Pair("signature", "1pyBoqciUEHLvRi61VHF2max2Js=")));
}

TEST(RequestSignatureTest, NamesAreSignedAsTheyAre) {
  EXPECT_THAT(SignRequest("LTAI", "s3cret", "g 1@@bestellung-\u00e9", kNow),
              ElementsAre(Pair("ak", "LTAI"),
                          Pair("data", "1700000001000@@g 1@@bestellung-\u00e9"),
                          Pair("signature", "8VCScVGFQ5IuE66x8y3HxwNvoOw=")));
}

TEST(RequestSignatureTest, WithoutAServiceTheTimeIsSigned) {
  EXPECT_THAT(SignRequest("LTAI", "s3cret", "", kNow),
              ElementsAre(Pair("ak", "LTAI"), Pair("data", "1700000001000"),
                          Pair("signature", "ubMFhO+YV4+Yz4p6aS+NWXiFi4o=")));
}

// Longer than a block of SHA-1, and so hashed first.
TEST(RequestSignatureTest, ASecretMayBeLong) {
  EXPECT_THAT(SignRequest("LTAI", std::string(100, 'k'),
                          "DEFAULT_GROUP@@orders", kNow)[2],
              Pair("signature", "4/DNWBQnunWoSYCSiwJtf6hfj6E="));
}

}  // namespace
}  // namespace dynweight
