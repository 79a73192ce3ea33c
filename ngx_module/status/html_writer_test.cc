#include "ngx_module/status/html_writer.h"

#include <gtest/gtest.h>

#include <string>

namespace dynweight {
namespace {

class HtmlWriterTest : public testing::Test {
 protected:
  std::string out_;
  HtmlWriter html_{&out_};
};

TEST_F(HtmlWriterTest, TextIsEscapedAndMarkupIsNot) {
  html_.Add("<b>").Text("<a href=\"x\">'&'").Add("</b>");
  EXPECT_EQ(out_, "<b>&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;</b>");
}

TEST_F(HtmlWriterTest, UrlValuesHoldUnreservedCharactersOnly) {
  html_.UrlValue("aZ09-._~ &+=#?/%\"<\xC3\xA9\n");
  EXPECT_EQ(out_, "aZ09-._~%20%26%2B%3D%23%3F%2F%25%22%3C%C3%A9%0A");
}

TEST_F(HtmlWriterTest, SharesOfNothing) {
  html_.Percent(0, 0).Add(" ").Share(0, 0).Add(" ").Percent(1, 3);
  EXPECT_EQ(out_, "– 0.000000 33.3%");
}

TEST_F(HtmlWriterTest, CountsAndTimes) {
  html_.Count(1, " pod", " pods").Add(" ").Count(2, " pod", " pods").Add(" ");
  html_.Time(0).Add(" ").Time(1'780'000'000'999);
  EXPECT_EQ(out_, "1 pod 2 pods never 2026-05-28 20:26:40Z");
}

}  // namespace
}  // namespace dynweight
