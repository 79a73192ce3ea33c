// Numbers as all documents write them.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_NUMBER_TEXT_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_NUMBER_TEXT_H_

#include <cstdint>
#include <string>

namespace dynweight {

void AppendNumber(uint64_t value, std::string* out);

// `value`, from 0 to below 2^63, with so many digits behind the point, at most
// nine: "0.123". Halves are rounded up, whatever the locale is.
void AppendFixed(double value, int digits, std::string* out);

// Milliseconds as seconds: "12.345".
void AppendSeconds(uint64_t ms, std::string* out);

// A part of a whole: "0.123456"; "null" when there is no whole.
void AppendShare(uint64_t part, uint64_t whole, std::string* out);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_NUMBER_TEXT_H_
