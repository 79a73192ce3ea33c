// What an operator overrides for now, and what is wrong with the tuning file,
// for people and for metrics.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_OVERRIDES_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_OVERRIDES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weightcalc/shared_document.h"

namespace dynweight {

// A rule of the tuning file, in words.
struct OverrideText {
  uint64_t line = 0;      // in the file
  bool in_force = false;  // false: it has expired
  uint64_t peers = 0;     // how many it is for
  std::string whom;       // "upstream orders, cluster sh"; "everything"
  std::string what;       // "drain", "weight 40"
  std::string expires;    // as the file has it; "": never
  std::string reason;
};

// The tuning's status at one moment. To read it costs a copy; a rule costs more
// only when it is asked for. Not thread-safe.
class Overrides {
 public:
  // `tuning`: what TuningFile::EncodeStatus() gives; nullptr: there is no
  // tuning file.
  explicit Overrides(const SharedDocument* tuning);
  Overrides(const Overrides&) = delete;
  Overrides& operator=(const Overrides&) = delete;

  // All of it, JSON; "" when there is none.
  const std::string& text() const { return text_; }
  // What is wrong with the file, whose last good rules stay in force; "":
  // nothing.
  const std::string& error() const { return error_; }
  size_t in_force() const { return in_force_; }
  size_t size() const { return rules_.size(); }
  // JSON of a rule.
  std::string_view rule(size_t i) const { return rules_[i]; }
  OverrideText Describe(size_t i) const;

 private:
  std::string text_;
  std::string error_;
  std::vector<std::string_view> rules_;  // of text_
  size_t in_force_ = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_OVERRIDES_H_
