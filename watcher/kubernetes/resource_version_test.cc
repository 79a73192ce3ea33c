// Tests of resource_version.h.

#include "watcher/kubernetes/resource_version.h"

#include <gtest/gtest.h>

namespace dynweight {
namespace {

TEST(ResourceVersion, NumbersAreComparedAsSuch) {
  EXPECT_LT(*CompareResourceVersions("99", "100"), 0);
  EXPECT_GT(*CompareResourceVersions("101", "100"), 0);
  EXPECT_EQ(*CompareResourceVersions("100", "100"), 0);
  EXPECT_LT(*CompareResourceVersions("99999999999999999999999",
                                     "100000000000000000000000"),
            0);
}

TEST(ResourceVersion, AnythingElseIsOpaque) {
  for (const char* opaque : {"", "0", "007", "-1", "1a", "eyJhIjoiMSJ9"}) {
    EXPECT_FALSE(CompareResourceVersions(opaque, "100").has_value()) << opaque;
    EXPECT_FALSE(CompareResourceVersions("100", opaque).has_value()) << opaque;
  }
}

}  // namespace
}  // namespace dynweight
