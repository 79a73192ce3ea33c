#include "ngx_module/status/readiness.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "ngx_module/status/status_fixture.h"

namespace dynweight {
namespace {

// Two upstreams of a line each: "orders" of a cluster that answers nothing as
// yet, "pay" of one that has answered all.
class ReadinessTest : public testing::Test {
 protected:
  ReadinessTest() { Make(ClusterStatus()); }

  void Make(const ClusterStatus& bj) {
    estate_ = std::make_unique<Estate>();
    ClusterStatus complete;
    complete.complete = true;
    const uint32_t first = estate_->AddCluster("bj", bj);
    const uint32_t second = estate_->AddCluster("sh", complete);
    estate_->model.upstreams.reserve(2);
    estate_->AddLine(&estate_->AddUpstream("orders"), false, first, 2);
    estate_->AddLine(&estate_->AddUpstream("pay"), false, second, 2);
    for (UpstreamModel& upstream : estate_->model.upstreams) {
      estate_->Seal(&upstream);
    }
  }

  void Know(bool provisional) {
    LineRecord record;
    record.known = 1;
    record.provisional = provisional ? 1 : 0;
    Estate::Write(estate_->model.upstreams[0].lines[0], record);
  }

  std::string Answer(const char* upstream = nullptr) {
    StatusQuery query = estate_->Query();
    if (upstream != nullptr) query.upstream = upstream;
    const ReadyAnswer answer = AnswerReady(query);
    EXPECT_EQ(answer.ready, answer.body.rfind("{\"ready\":true", 0) == 0);
    return answer.body;
  }

  std::unique_ptr<Estate> estate_;
};

TEST_F(ReadinessTest, NamesWhatIsWaitedFor) {
  EXPECT_FALSE(IsReady(estate_->model));
  EXPECT_EQ(Answer(),
            R"({"ready":false,"waiting_for":["bj"],"lines":[{"upstream":)"
            R"("orders","cluster":"bj","source":"service=prod/orders",)"
            R"("provisional":false}]})"
            "\n");
  EXPECT_EQ(Answer("pay"), "{\"ready\":true}\n");
}

TEST_F(ReadinessTest, AWeightIsEnoughAndAProvisionalOneIsNamed) {
  Know(true);
  EXPECT_TRUE(IsReady(estate_->model));
  EXPECT_NE(Answer("orders").find("\"provisional\":true"), std::string::npos);
  Know(false);
  EXPECT_EQ(Answer("orders"), "{\"ready\":true}\n");
}

TEST_F(ReadinessTest, OnceReadyItStaysSo) {
  Know(false);
  EXPECT_EQ(Answer("orders"), "{\"ready\":true}\n");
  EXPECT_EQ(*estate_->model.ready, 0u) << "one upstream is not all";
  EXPECT_EQ(Answer(), "{\"ready\":true}\n");
  EXPECT_EQ(*estate_->model.ready, 1u);
  Estate::Write(estate_->model.upstreams[0].lines[0], LineRecord());
  EXPECT_EQ(Answer().rfind("{\"ready\":true,\"waiting_for\":[\"bj\"]", 0), 0u);
  EXPECT_EQ(Answer("orders").rfind("{\"ready\":false", 0), 0u);
}

TEST_F(ReadinessTest, WhatIsRefusedIsNotWaitedFor) {
  ClusterStatus refused;
  refused.rest_refused = true;
  Make(refused);
  EXPECT_TRUE(IsReady(estate_->model));
  EXPECT_EQ(Answer("orders").rfind("{\"ready\":false", 0), 0u);
  EXPECT_EQ(Answer().rfind("{\"ready\":true,\"waiting_for\"", 0), 0u);
}

TEST_F(ReadinessTest, NamesAHundredLines) {
  UpstreamModel& upstream = estate_->model.upstreams[0];
  for (int n = 0; n < 150; ++n) estate_->AddLine(&upstream, false, 0, 1);
  const std::string body = Answer();
  EXPECT_EQ(CountOf("\"provisional\"", body), 100u);
  EXPECT_NE(body.find("],\"more\":51}\n"), std::string::npos);
}

}  // namespace
}  // namespace dynweight
