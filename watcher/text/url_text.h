// Texts as parts of a URL, or of a form, which spells them alike.

#ifndef DYNAMIC_WEIGHT_WATCHER_TEXT_URL_TEXT_H_
#define DYNAMIC_WEIGHT_WATCHER_TEXT_URL_TEXT_H_

#include <string>
#include <string_view>

namespace dynweight {

// Appends `text` with everything escaped but the unreserved characters of
// RFC 3986. Thread-safe.
void AppendUrlEscaped(std::string_view text, std::string* out);

// Appends "?name=value", or "&name=value" behind a query that there is.
// Thread-safe.
void AppendUrlParameter(std::string_view name, std::string_view value,
                        std::string* url);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TEXT_URL_TEXT_H_
