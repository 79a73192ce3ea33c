// Tests of url_text.h.

#include "watcher/text/url_text.h"

#include <gtest/gtest.h>

namespace dynweight {
namespace {

TEST(UrlTextTest, EverythingButUnreservedCharactersIsEscaped) {
  std::string text;
  AppendUrlEscaped("a-Z.0_9~ @#%&=+\xc3\xa9\n", &text);
  EXPECT_EQ(text, "a-Z.0_9~%20%40%23%25%26%3D%2B%C3%A9%0A");
}

TEST(UrlTextTest, ParametersFollowOneAnother) {
  std::string url = "http://a/b";
  AppendUrlParameter("x", "1&2", &url);
  AppendUrlParameter("y", "", &url);
  EXPECT_EQ(url, "http://a/b?x=1%262&y=");
}

}  // namespace
}  // namespace dynweight
