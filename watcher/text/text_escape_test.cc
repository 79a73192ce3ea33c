// Tests of escaping.

#include "watcher/text/text_escape.h"

#include <gtest/gtest.h>

namespace dynweight {
namespace {

std::string Label(std::string_view text) {
  std::string out;
  AppendLabelValue(text, &out);
  return out;
}

std::string Html(std::string_view text) {
  std::string out;
  AppendHtml(text, &out);
  return out;
}

TEST(TextEscape, LabelValues) {
  EXPECT_EQ(Label("</script>\"\n\\"), "</script>\\\"\\n\\\\");
  EXPECT_EQ(Label("caf\xC3\xA9"), "caf\xC3\xA9");
  EXPECT_EQ(Label("cut \xC3"), "cut \xEF\xBF\xBD");
}

TEST(TextEscape, HtmlTextAndAttributes) {
  EXPECT_EQ(Html("</script>\"\n"), "&lt;/script&gt;&quot;\n");
  EXPECT_EQ(Html("a&b'c"), "a&amp;b&#39;c");
  EXPECT_EQ(Html(std::string_view("\0\x1b", 2)), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(Html("\xC0\xBC"), "\xEF\xBF\xBD\xEF\xBF\xBD");  // overlong <
}

}  // namespace
}  // namespace dynweight
