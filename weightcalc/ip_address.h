// An IPv4 or IPv6 address, without a port.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_IP_ADDRESS_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_IP_ADDRESS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dynweight {

// A value type: copyable, ordered (IPv4 before IPv6, then by the bytes).
struct IpAddress {
  enum Family : uint8_t { kNone = 0, kIpv4 = 4, kIpv6 = 6 };

  Family family = kNone;
  std::array<uint8_t, 16> bytes{};  // network order; IPv4 uses the first four

  // Reads "10.0.0.1" or "fd00::1" (no brackets, port or zone). An IPv4-mapped
  // IPv6 address becomes the IPv4 address. Returns nothing for text that is
  // no address, and for addresses no peer can have: unspecified, multicast
  // and broadcast.
  static std::optional<IpAddress> Parse(std::string_view text);

  // The shortest usual spelling; RFC 5952 for IPv6. "" for kNone.
  std::string ToString() const;

  friend bool operator==(const IpAddress& a, const IpAddress& b) {
    return a.family == b.family && a.bytes == b.bytes;
  }
  friend bool operator!=(const IpAddress& a, const IpAddress& b) {
    return !(a == b);
  }
  friend bool operator<(const IpAddress& a, const IpAddress& b) {
    return a.family != b.family ? a.family < b.family : a.bytes < b.bytes;
  }
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_IP_ADDRESS_H_
