// Tests of the syntax of label selectors.

#include "watcher/kubernetes/label_selector.h"

#include <gtest/gtest.h>

#include <string>

namespace dynweight {
namespace {

TEST(LabelSelector, AcceptsEqualityBasedForms) {
  for (const char* text :
       {"a=b", "a==b", "a!=b", "a", "!a", "a=", "a!=", "a=b,c!=d,!e,f",
        "app.kubernetes.io/name=ingress-nginx", "a = b , ! c", "A_b.c-d=X_y.z",
        "node-role.kubernetes.io/ingress", "a=in"}) {
    EXPECT_TRUE(CheckLabelSelector(text).ok()) << text;
  }
}

TEST(LabelSelector, AcceptsSetBasedForms) {
  for (const char* text :
       {"a in (x)", "a in (x,y)", "a notin (x, y)", "a in(x)",
        "a in (x,y),b notin (z),c", "a in (x,)"}) {
    EXPECT_TRUE(CheckLabelSelector(text).ok()) << text;
  }
}

TEST(LabelSelector, RefusesWhatTheServerWould) {
  for (const char* text : {"",
                           " ",
                           ",",
                           "a,",
                           ",a",
                           "a,,b",
                           "=b",
                           "!",
                           "!=b",
                           "a=b=c",
                           "a===b",
                           "a b",
                           "a in",
                           "a in x",
                           "a in (x",
                           "a in x)",
                           "a in ()",
                           "a in ( )",
                           "a on (x)",
                           "(x)",
                           "in (x)",
                           "a in (x)y",
                           "a in (x,(y))",
                           "in=b",
                           "-a=b",
                           "a-=b",
                           "a=-b",
                           "a=b c",
                           "a/b/c=d",
                           "/a=b",
                           "a/=b",
                           "A/b=c",
                           "a=\n",
                           "a=\xC3\xA4",
                           "a=b;c",
                           "a>1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckLabelSelector(text))) << text;
  }
}

TEST(LabelSelector, BoundsLengths) {
  const std::string sixty_three(63, 'a');
  EXPECT_TRUE(CheckLabelSelector(sixty_three + "=" + sixty_three).ok());
  EXPECT_FALSE(CheckLabelSelector(sixty_three + "a").ok());
  EXPECT_FALSE(CheckLabelSelector("a=" + sixty_three + "a").ok());
  std::string longest = "a";
  while (longest.size() <= kMaxSelectorBytes) longest += ",a";
  EXPECT_FALSE(CheckLabelSelector(longest).ok());
}

TEST(LabelSelector, SaysWhichPartIsWrong) {
  EXPECT_EQ(
      std::string(CheckLabelSelector("a=b,c in x").message()).substr(0, 8),
      "\"c in x\"");
}

}  // namespace
}  // namespace dynweight
