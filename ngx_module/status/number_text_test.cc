#include "ngx_module/status/number_text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace dynweight {
namespace {

std::string Fixed(double value, int digits) {
  std::string out;
  AppendFixed(value, digits, &out);
  return out;
}

TEST(NumberText, FixedRoundsHalvesUp) {
  EXPECT_EQ(Fixed(0, 3), "0.000");
  EXPECT_EQ(Fixed(0.0625, 3), "0.063");
  EXPECT_EQ(Fixed(1.0 / 3, 6), "0.333333");
  EXPECT_EQ(Fixed(2.0 / 3, 6), "0.666667");
  EXPECT_EQ(Fixed(0.96, 1), "1.0") << "the carry goes on";
  EXPECT_EQ(Fixed(123456789.25, 1), "123456789.3");
}

TEST(NumberText, NumbersAreWhole) {
  std::string out;
  AppendNumber(UINT64_MAX, &out);
  EXPECT_EQ(out, "18446744073709551615");
}

TEST(NumberText, SecondsHaveThreeDigits) {
  std::string out;
  AppendSeconds(12'045, &out);
  EXPECT_EQ(out, "12.045");
}

TEST(NumberText, AShareOfNothingIsNull) {
  std::string out;
  AppendShare(1, 8, &out);
  EXPECT_EQ(out, "0.125000");
  out.clear();
  AppendShare(0, 0, &out);
  EXPECT_EQ(out, "null");
}

}  // namespace
}  // namespace dynweight
