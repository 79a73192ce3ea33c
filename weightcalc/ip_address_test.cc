// Tests of ip_address.h.

#include "weightcalc/ip_address.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

namespace dynweight {
namespace {

std::string RoundTrip(std::string_view text) {
  const std::optional<IpAddress> address = IpAddress::Parse(text);
  return address.has_value() ? address->ToString() : "refused";
}

TEST(IpAddress, ReadsAndPrintsIpv4) {
  const std::optional<IpAddress> address = IpAddress::Parse("10.1.2.3");
  ASSERT_TRUE(address.has_value());
  EXPECT_EQ(address->family, IpAddress::kIpv4);
  EXPECT_EQ(address->bytes[0], 10);
  EXPECT_EQ(address->bytes[3], 3);
  EXPECT_EQ(address->ToString(), "10.1.2.3");
}

TEST(IpAddress, PrintsIpv6AsRfc5952Says) {
  EXPECT_EQ(RoundTrip("fd00:0:0:0:0:0:0:1"), "fd00::1");
  EXPECT_EQ(RoundTrip("2001:DB8::0001"), "2001:db8::1");
  EXPECT_EQ(RoundTrip("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");
  EXPECT_EQ(RoundTrip("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1");
  EXPECT_EQ(RoundTrip("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");
  EXPECT_EQ(RoundTrip("::1"), "::1");
}

TEST(IpAddress, TakesAMappedAddressForIpv4) {
  EXPECT_EQ(IpAddress::Parse("::ffff:10.1.2.3"), IpAddress::Parse("10.1.2.3"));
  EXPECT_EQ(IpAddress::Parse("::FFFF:a01:203"), IpAddress::Parse("10.1.2.3"));
}

TEST(IpAddress, RefusesAddressesNoPeerCanHave) {
  for (const char* text : {"0.0.0.0", "::", "224.0.0.1", "239.255.255.255",
                           "ff02::1", "255.255.255.255", "::ffff:0.0.0.0",
                           "::ffff:224.0.0.1", "::ffff:255.255.255.255"}) {
    EXPECT_EQ(RoundTrip(text), "refused") << text;
  }
}

TEST(IpAddress, RefusesTextThatIsNoAddress) {
  for (const char* text :
       {"", " ", "10.0.0", "10.0.0.1.2", "10.0.0.256", "10.0.0.01",
        "0x0a000001", "10.0.0.1:80", "10.0.0.1 ", " 10.0.0.1", "10.0.0.1/24",
        "[fd00::1]", "fd00::1%eth0", "fd00::1::2", "fd00:::1",
        "1:2:3:4:5:6:7:8:9", "12345::", "localhost", "167772161"}) {
    EXPECT_EQ(RoundTrip(text), "refused") << text;
  }
}

TEST(IpAddress, RefusesHostileLengthsAndZeroBytes) {
  EXPECT_EQ(RoundTrip(std::string(1 << 20, '1')), "refused");
  EXPECT_EQ(RoundTrip(std::string(46, ':')), "refused");
  EXPECT_EQ(RoundTrip(std::string_view("10.0.0.1\0.example", 17)), "refused");
  EXPECT_EQ(RoundTrip(std::string_view("10.0.0.1\0", 9)), "refused");
}

TEST(IpAddress, ReadsOnlyTheViewItIsGiven) {
  const std::string_view text = "10.0.0.123";
  EXPECT_EQ(RoundTrip(text.substr(0, 8)), "10.0.0.1");
}

TEST(IpAddress, OrdersIpv4BeforeIpv6ThenByBytes) {
  std::vector<std::string> texts = {"fd00::2", "10.0.0.10", "10.0.0.9", "::1",
                                    "9.255.0.0"};
  std::vector<IpAddress> addresses;
  for (const auto& text : texts) addresses.push_back(*IpAddress::Parse(text));
  std::sort(addresses.begin(), addresses.end());
  texts.clear();
  for (const auto& address : addresses) texts.push_back(address.ToString());
  EXPECT_EQ(texts, (std::vector<std::string>{"9.255.0.0", "10.0.0.9",
                                             "10.0.0.10", "::1", "fd00::2"}));
}

TEST(IpAddress, NoAddressPrintsAsNothing) {
  EXPECT_EQ(IpAddress().ToString(), "");
  EXPECT_NE(IpAddress(), *IpAddress::Parse("10.0.0.1"));
}

}  // namespace
}  // namespace dynweight
