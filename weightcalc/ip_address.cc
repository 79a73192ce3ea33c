// IPv4 and IPv6 addresses as text and bytes; see ip_address.h.

#include "weightcalc/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0,    0,
                                                   0, 0, 0, 0, 0xff, 0xff};

bool CanBePeer(const IpAddress& address) {
  const auto& b = address.bytes;
  if (std::all_of(b.begin(), b.end(), [](uint8_t x) { return x == 0; })) {
    return false;  // unspecified
  }
  if (address.family == IpAddress::kIpv6) return b[0] != 0xff;  // multicast
  const bool multicast = (b[0] & 0xf0) == 0xe0;
  const bool broadcast =
      b[0] == 255 && b[1] == 255 && b[2] == 255 && b[3] == 255;
  return !multicast && !broadcast;
}

}  // namespace

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  // inet_pton() wants a terminated string, and would stop at a zero inside.
  char terminated[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof(terminated) ||
      text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  *std::copy(text.begin(), text.end(), terminated) = '\0';

  IpAddress address;
  if (inet_pton(AF_INET, terminated, address.bytes.data()) == 1) {
    address.family = kIpv4;
  } else if (inet_pton(AF_INET6, terminated, address.bytes.data()) == 1) {
    address.family = kIpv6;
    if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(),
                   address.bytes.begin())) {
      IpAddress mapped;
      mapped.family = kIpv4;
      std::copy_n(address.bytes.begin() + kMappedPrefix.size(), 4,
                  mapped.bytes.begin());
      address = mapped;
    }
  } else {
    return std::nullopt;
  }
  if (!CanBePeer(address)) return std::nullopt;
  return address;
}

std::string IpAddress::ToString() const {
  if (family == kNone) return "";
  // A view document has tens of thousands: inet_ntop() goes by sprintf().
  if (family == kIpv4) {
    return absl::StrCat(bytes[0], ".", bytes[1], ".", bytes[2], ".", bytes[3]);
  }
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(AF_INET6, bytes.data(), text, sizeof(text)) != nullptr ? text
                                                                          : "";
}

}  // namespace dynweight
